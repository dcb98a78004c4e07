"""The page of the study note: its numbers and verdicts are those of published records, and what follows from the equations is proven."""

import re
from pathlib import Path

import pytest
import torch

import cells
from bench.records import DecayRecord, Records
from bench.render import note_evidence, note_page, note_trainings
from bench.render.published import Published, read_published
from tests.records import RUN, timed
from tests.records import case as make_case
from tests.test_training_metrics import record

ROOT = Path(__file__).parents[1]


def test_the_page_is_that_of_the_published_records():
    """`python -m bench publish` writes it: no number is typed, and every verdict is computed again here."""
    assert (ROOT / "docs" / "note.md").read_text() == note_page.render_note(read_published(ROOT / "reports"))


def test_without_a_record_it_says_what_to_run():
    text = note_page.render_note([])
    assert text.count("not shown yet: run `python -m bench ") >= len(note_page.STATEMENTS) - 1  # one runs four in a loop
    assert all(f"def test_{name}(" in Path(__file__).read_text() for _, name in note_page.PROVEN)


def publish(**known: list) -> list[Published]:
    return [Published(Path("2026-03-01-run"), Records(**{"run": RUN, "cases": [], "gradients": []} | known))]


@pytest.mark.parametrize(
    ("finals", "verdict"),
    [
        ({"minimal": 0.095, "gru": 0.096, "lstm": 0.094}, "yes"),
        ({"minimal": 0.080, "gru": 0.096, "lstm": 0.094}, "no"),
        ({"minimal": 0.080, "gru": 0.096}, ""),
    ],
)
def test_as_good_is_a_margin_and_worse_an_interval(finals, verdict):
    first = record("gru").model_copy(update={"sizes": {"data": "of 20 themes"}, "end": "steps"})
    known = [
        first.model_copy(update={"trial": first.trial.model_copy(update={"cell": cell, "seed": k}), "final": value + 1e-4 * k})
        for cell, value in finals.items() for k in range(3)
    ]  # fmt: skip
    evidence = note_trainings.judge_quality("recommend")(publish(training=known))
    assert (evidence[1] if evidence else "") == verdict
    if verdict == "yes":
        one = note_trainings.judge_quality("recommend")(publish(training=[r for r in known if r.trial.seed == 0]))
        assert one is not None and one[1] == "not shown"


@pytest.mark.parametrize(("minimal", "verdict"), [(0.020, "yes"), (0.045, "no")])
def test_step_times_are_ordered_on_every_backend(minimal, verdict):
    times = {"gru": 0.046, "cfn": 0.040, "minimal": minimal}
    found = [timed(make_case(cell, backend, T=64), *[seconds] * 6) for backend in ("eager", "compiled") for cell, seconds in times.items()]
    words, found_verdict, _ = note_evidence.judge_step_times(publish(cases=found))
    assert found_verdict == verdict and f"eager 46 : 40 : {1000 * minimal:.0f}" in words


@pytest.mark.parametrize(("exponent", "lost", "verdict"), [([-0.3] * 4, 0, "yes"), ([0.3] * 4, 0, "no"), ([], 4, "no")])
def test_a_cell_comes_to_rest(exponent, lost, verdict):
    one = DecayRecord(
        cell="cfn", init="default", T=9, B=4, H=2, seed=0, exponent=exponent, times=[0], norm=[1.0], distance=[1.0], lost=lost
    )
    assert note_evidence.judge_rest("cfn")(publish(decays=[one]))[1] == verdict


def step(cell: str, states: dict[str, torch.Tensor], x: torch.Tensor, **weights: float) -> tuple[torch.Tensor, ...]:
    """One step of a cell with random weights, but for biases that are given: b_u=50."""
    torch.manual_seed(0)
    given = {name: torch.randn(shape, dtype=x.dtype) for name, shape in cells.load(cell).shapes(x.shape[1], x.shape[1]).items()}
    given |= {f"b.{key[2:]}": torch.full_like(given[f"b.{key[2:]}"], value) for key, value in weights.items()}
    return cells.load(cell)(list(states.values()), x, cells.load(cell).bind_parameters(given))


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def test_range():
    """h_t = u h + (1 - u) z lies between h and z, so a sequence that starts within the z's so far stays there."""
    torch.manual_seed(0)
    weights = {name: 3 * torch.randn(shape, dtype=torch.float64) for name, shape in cells.load("minimal").shapes(4, 4).items()}
    x = normal(50, 8, 4)
    z = torch.tanh(x @ weights["W.z"].T + weights["b.z"])
    y, _ = cells.load("minimal").unroll(x[1:], [z[0]], weights)
    low, high = z.cummin(0).values[1:], z.cummax(0).values[1:]
    assert (y >= low - 1e-12).all() and (y <= high + 1e-12).all()


def test_gate():
    h, x = normal(5, 3), normal(5, 3)
    assert torch.equal(step("minimal", {"h": h}, x, b_u=1e3)[0], h)
    z = step("minimal", {"h": h}, x, b_u=-1e3)[0]
    assert torch.equal(z, step("minimal", {"h": -h}, x, b_u=-1e3)[0]) and not torch.equal(z, h)


def test_conveyor():
    begun = normal(5, 3)
    weights = {name: torch.ones(shape, dtype=torch.float64) for name, shape in cells.load("lstm").shapes(3, 3).items()}
    weights |= {"b.f": torch.full((3,), 1e3, dtype=torch.float64), "b.i": torch.full((3,), -1e3, dtype=torch.float64)}
    y, (_, c) = cells.load("lstm").unroll(normal(500, 5, 3), [normal(5, 3), begun], weights)
    assert torch.equal(c, begun) and not torch.equal(y[0], y[-1])


def test_gru_to_cfn():
    assert recurrent("gru_reset_before") == {"rh", "uh", "nh"} and recurrent("cfn") == {"theta_h", "eta_h"}


def test_cfn_to_minimal():
    assert recurrent("cfn") == {"theta_h", "eta_h"} and recurrent("minimal") == {"uh"}


def recurrent(cell: str) -> set[str]:
    """The matrices that stay in the loop over time: those applied to what depends on a state."""
    text = " ".join(line for line in Path(cells.__file__).with_name(f"{cell}.py").read_text().splitlines() if "W." in line)
    return {name for name, argument in re.findall(r"W\.(\w+)\(([^)]*)\)", text) if re.search(r"\bh\b", argument)}


def test_counts():
    """Whatever the weights: with the gate between 0 and 1 and a candidate within ±1 the next state is within ±1."""
    for cell in ("gru", "minimal"):
        torch.manual_seed(0)
        weights = {name: 10 * torch.randn(shape, dtype=torch.float64) for name, shape in cells.load(cell).shapes(2, 1).items()}
        y, _ = cells.load(cell).unroll(normal(100, 8, 2), [torch.zeros(8, 1, dtype=torch.float64)], weights)
        assert y.abs().max() <= 1 and (y.sort(dim=0).values.diff(dim=0).min(0).values <= 2 / 99).all()

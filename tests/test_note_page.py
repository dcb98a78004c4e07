"""The page of the study note: its numbers and verdicts are those of published records, and what follows from the equations is proven."""

import math
import re
from pathlib import Path

import pytest
import torch

import cells
from bench.records import DecayRecord, Records, TheoryRecord
from bench.records.training_record import InputJacobian, Point, TrainingRecord
from bench.render import note_evidence, note_jacobians, note_page, note_trainings
from bench.render.published import Published, read_published
from tests.records import RUN, timed
from tests.records import case as make_case
from tests.test_training_metrics import learned, record

ROOT = Path(__file__).parents[1]


def test_the_page_is_that_of_the_published_records():
    """`python -m bench publish` writes it: no number is typed, and the page is written again here from the same records."""
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
    first = record("gru").model_copy(update={"sizes": {"data": "ratings.dat: 9 users"}, "end": "steps"})
    known = [
        first.model_copy(update={"trial": first.trial.model_copy(update={"cell": cell, "seed": k}), "final": value + 1e-4 * k})
        for cell, value in finals.items() for k in range(3)
    ]  # fmt: skip
    evidence = note_trainings.judge_quality("recommend")(publish(training=known))
    assert (evidence[1] if evidence else "") == verdict
    if verdict == "yes":
        one = note_trainings.judge_quality("recommend")(publish(training=[r for r in known if r.trial.seed == 0]))
        assert one is not None and one[1] == "not shown"


@pytest.mark.parametrize(
    ("minimal", "spread", "verdict"), [(0.020, 0, "yes"), (0.045, 0, "no"), (0.0395, 0, "not shown"), (0.037, 0.02, "not shown")]
)
def test_step_times_are_ordered_on_every_backend(minimal, spread, verdict):
    times = {"gru": 0.046, "cfn": 0.040, "minimal": minimal}
    found = [
        timed(make_case(cell, backend, T=64), *(seconds + spread * (cell == "minimal") * (k - 2.5) / 2.5 for k in range(6)))
        for backend in ("eager", "compiled") for cell, seconds in times.items()
    ]  # fmt: skip
    words, found_verdict, _ = note_evidence.judge_order(("eager", "compiled"), ("minimal", "cfn", "gru"))(publish(cases=found))
    assert found_verdict == verdict and f"eager minimal {1000 * minimal:.1f} ms (" in words
    assert "T=64 B=32 D=256 H=256 float32" in words and "AMD EPYC" in words


def test_with_tied_weights_the_theory_may_be_off():
    known = {
        "cell": "vanilla",
        "w": 1,
        "v": 0.1,
        "mu": 0,
        "phi": 1,
        "N": 9,
        "seed": 0,
        "q": 1,
        "Q": 1,
        "chi": 1.0,
        "xi": 1.0,
        "kind": "theory",
    }
    points = [TheoryRecord.model_validate(known | {"untied": [0.01, 0.01], "tied": [0.3 * (k == 0)] * 2}) for k in range(11)]
    words, verdict, _ = note_evidence.judge_theory(publish(theory=points))
    assert verdict == "yes" and "with tied weights, by more than 5% at 1 of 11, 35% at most" in words
    off = [point.model_copy(update={"untied": [0.1, 0.1]}) for point in points]
    assert note_evidence.judge_theory(publish(theory=off))[1] == "no"


def train(cell: str, seed: int, task: str = "adding", **changes: object) -> TrainingRecord:
    base = record("gru", metric="error", higher=False, target=0.1, baselines={"constant": 1.0}, sizes={"N": 24})
    trial = base.trial.model_copy(update={"cell": cell, "seed": seed, "task": task, "equal": changes.pop("equal", "hidden")})
    return base.model_copy(update={"trial": trial} | changes)


def reach(cell: str, seed: int, step: int, task: str = "adding") -> TrainingRecord:
    """A training that reaches its target at this step; with 0 it never does."""
    curve = [Point(seconds=k, step=k, loss=None, value=0.05 if k == step else 0.5) for k in range(0, (step or 990) + 1, 10)]
    return train(cell, seed, task, curve=curve, end="target" if step else "steps", final=0.02 if step else 1.0)


@pytest.mark.parametrize(
    ("minimal", "gru", "verdict"),
    [
        ((100, 110, 120), (200, 210, 220), "yes"),
        ((200, 210, 220), (200, 210, 220), "yes"),
        ((400, 410, 420), (200, 210, 220), "no"),
        ((0, 0, 0), (200, 210, 220), "no"),
        ((100, 0, 120), (200, 210, 220), "not shown"),
        ((100,), (200,), "not shown"),
    ],
)
def test_where_trainings_stop_at_a_target_steps_and_seeds_decide(minimal, gru, verdict):
    steps = {"minimal": minimal, "gru": gru, "lstm": (900, 0, 910)[: len(gru)]}
    known = [reach(cell, k, step) for cell, found in steps.items() for k, step in enumerate(found)]
    words, found_verdict, _ = note_trainings.judge_quality("adding")(publish(training=known))
    assert found_verdict == verdict and f"minimal {sum(map(bool, minimal))} of {len(minimal)}" in words


@pytest.mark.parametrize(("minimal", "ends", "verdict"), [(0.1, 3, "yes"), (0.9, 3, "no"), (0.5, 3, "not shown"), (0.1, 1, "not shown")])
def test_noise_counts_where_the_task_was_learned(minimal, ends, verdict):
    """An LSTM that learned nothing bears any noise: it has no place."""
    errors = {"minimal": minimal, "gru": 0.5, "lstm": 0.5}
    known = [reach(cell, k, 100 * (cell != "lstm" or k < ends)) for cell in errors for k in range(3)]
    seen = [
        learned("gru").model_copy(update={"trial": r.trial, "noise": {"inputs 0.3": errors[r.trial.cell] + 0.001 * r.trial.seed}})
        for r in known
    ]  # fmt: skip
    words, found_verdict, _ = note_trainings.judge_noise("minimal", "inputs 0.3")(publish(training=known, learned=seen))
    assert found_verdict == verdict and f"3, 3, {ends} seeds" in words


@pytest.mark.parametrize(("lstm", "gru", "verdict"), [((60, 61, 62), (20, 21, 22), "yes"), ((60, 20, 90), (20, 21, 22), "not shown")])
def test_counting_by_hand_and_trained_are_two_statements(lstm, gru, verdict):
    hand = {"lstm": (0.0, 0.0), "gru": (0.119, 1060.0)}
    known = []
    for cell, counts in (("lstm", lstm), ("gru", gru)):
        fixed = {f"set by hand: off after {n} up and down": v for n, v in zip(("1,000", "100,000"), hand[cell], strict=True)}
        known += [train(cell, k, "counting", extras={"counts to": float(n), **fixed}) for k, n in enumerate(counts)]
    words, by_hand, _ = note_trainings.judge_counters(publish(training=known))
    assert by_hand == "yes" and words.startswith("off after 1,000 up and down: gru 0.119, lstm 0; off after 100,000 up and down: gru 1,060")
    assert note_trainings.judge_counting(publish(training=known))[1] == verdict


@pytest.mark.parametrize("equal", ["hidden", "parameters"])
def test_vowels_are_judged_at_the_equality_of_the_task(equal):
    known = [train("wave", k, "vowels", equal=equal, higher=True, final=0.9 + 0.01 * k, baselines={"chance": 0.333}) for k in range(3)]
    assert note_trainings.judge_wave(publish(training=known))[1] == "yes"
    assert note_trainings.judge_wave(publish(training=known[:1]))[1] == "not shown"
    assert note_trainings.judge_wave(publish(training=[r.model_copy(update={"baselines": {}}) for r in known]))[1] == "not shown"


def test_vanilla_fails_with_several_seeds():
    """Its verdicts use no interval, so one seed must be no evidence."""
    cells = {"vanilla": 0, "minimal": 100, "gru": 100, "lstm": 100}
    known = [reach(cell, k, step) for k in range(2) for cell, step in cells.items()]
    free = [r.model_copy(update={"sizes": {"clip": "none"}, "largest": 900.0 if r.trial.cell == "vanilla" else 1.0}) for r in known]
    for seeds, verdict in ((2, "yes"), (1, "not shown")):
        clipped, unclipped = ([r for r in found if r.trial.seed < seeds] for found in (known, free))
        assert note_trainings.judge_vanilla(publish(training=clipped))[1] == verdict
        words, found, *_ = note_trainings.judge_explosion([*publish(training=unclipped), *publish(training=clipped)])
        assert found == verdict and "900 times" in words and "with a limit of 1 it learns nothing" in words


@pytest.mark.parametrize(("clip", "seeds", "verdict"), [("none", 3, "yes"), (1.0, 3, "yes"), ("none", 1, "")])
def test_how_far_a_jacobian_reaches_needs_several_seeds(clip, seeds, verdict):
    slopes = {"minimal": -0.1, "gru": -0.5, "lstm": -0.6}
    known = [train(cell, k, sizes={"clip": clip}, jacobians=[
        InputJacobian(step=0, lags=[1, 2], mean_square=[1.0, math.exp(2 * at)]) for at in (-1.0, slope - 0.01 * k)
    ]) for cell, slope in slopes.items() for k in range(seeds)]  # fmt: skip
    found = note_jacobians.judge_reach(publish(training=known))
    assert (found[1] if found else "") == verdict
    assert not found or ("without a limit" in found[0]) == (clip == "none")


def test_neighbours_link_every_run_they_are_read_from():
    runs = []
    for day, task in (("2026-03-02", "adding"), ("2026-03-01", "counting")):
        known = [train(cell, k, task) for cell in ("minimal", "gru", "lstm") for k in range(1 + (task == "adding"))]
        runs += [
            Published(
                Path(f"{day}-{task}"),
                publish(training=known, learned=[learned("gru").model_copy(update={"trial": r.trial}) for r in known])[0].records,
            )
        ]
    words, _, *used = note_trainings.judge_neighbours(runs)
    assert [run.name for run in used] == ["2026-03-02-adding", "2026-03-01-counting"] and words.count("(one seed: no interval)") == 1
    page = note_page.render_note(runs)
    assert "(../reports/2026-03-02-adding/report.md), [2026-03-01](../reports/2026-03-01-counting/report.md)" in page


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
    """h_t = u h + (1 - u) z lies between h and z, so a sequence that starts at 0 stays within the range of 0 and the z's."""
    torch.manual_seed(0)
    weights = {name: 3 * torch.randn(shape, dtype=torch.float64) for name, shape in cells.load("minimal").shapes(4, 4).items()}
    x = normal(50, 8, 4)
    z = torch.tanh(x @ weights["W.z"].T + weights["b.z"])
    y, _ = cells.load("minimal").unroll(x, [torch.zeros_like(z[0])], weights)
    low, high = z.cummin(0).values.clamp(max=0), z.cummax(0).values.clamp(min=0)
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

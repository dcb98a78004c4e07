"""What a run of everything measures of signals."""

import pytest

import cells
from bench.analysis.summary import fit_growth
from bench.harness import device
from bench.studies.signals import mean_field, signal_plan
from bench.studies.signals.gradient_norms import measure_gradients
from bench.studies.signals.random_matrix_growth import KEEPS, make_rules
from bench.studies.signals.signal_plan import make_study_problem
from bench.studies.signals.single_thread import one_thread
from tests.sampling import sample


def test_a_short_part_of_everything(monkeypatch):
    """Named and callable, every kind of it; one of each is measured."""
    device.resolve_device("cpu")
    pieces = dict(signal_plan.preview_pieces("cpu", 0))
    with one_thread():
        kinds = {type(pieces[name]()).__name__ for name in ("lstm open seed 0", "minimal σ_w=6.88 σ_v=1.39 μ=0", "GRU map")}
    assert kinds == {"JacobianRecord", "TheoryRecord", "MapRecord"} and len(pieces) == 8 + 7 + 6 + 3 + 3 + 2


@sample("cell", [*signal_plan.CRITICAL])
def test_a_critical_start_is_solved_by_theory(cell):
    """χ = 1 at its point, within what four digits of σ leave, and the variant draws what the point says."""
    point = signal_plan.CRITICAL[cell]
    with one_thread():
        assert mean_field.CELLS[cell](point).chi == pytest.approx(1, abs=2e-3)
    rules, found = make_rules(cells.load(cell), point), cells.load(cell).variants["critical"]
    names = [name for name in cells.load(cell).shapes(1, 1) if name.startswith("W")]
    assert [found.get(name, found.get("W")) for name in names] == [rules[name] for name in names] and found["b"] == 0


def test_every_gated_seed_cell_has_every_start():
    """And an open gate keeps more than 99% of a state in a step: it is the gate that the theory takes for it."""
    assert {*signal_plan.CRITICAL} == {*cells.DEFAULT} - {"vanilla", "vanilla_relu"}
    for cell in signal_plan.CRITICAL:
        variant = cells.load(cell).variants["open"]
        assert variant[KEEPS[cell]] == 5.0 and {**cells.load(cell).init, KEEPS[cell]: 5.0} == variant


# As first tried: nats per step over lags of 64 to 512 steps, H=64, with one gate bias at 5, and at the default.
TRIED = [
    ("lstm", "open", 0.008), ("gru", "open", -0.007), ("minimal", "open", -0.007), ("minimal", "critical", -0.003),
    ("lstm", "default", -0.49), ("gru", "default", -0.49), ("minimal", "default", -0.62),
]  # fmt: skip


@sample("case", TRIED)
def test_growth_at_every_start_is_as_measured_before(case):
    cell, init, expected = case
    T = 64 if init == "default" else 256
    with one_thread():
        found = [fit_growth(measure_gradients(make_study_problem(cell, init, T, 8, 64, 64, "float64", "cpu", seed))) for seed in range(3)]
    assert sum(found) / 3 == pytest.approx(expected, abs=0.01)

"""Cells with a stencil: the plan, every schedule against the equations in float64, and what can't be."""

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import tanh
from cells.wave import wave
from kernels.derive.adjoint import TRITON, adjoint, print_source
from kernels.derive.plan import plan
from kernels.layer import checkpointing, custom_op
from kernels.layer import select as backend
from kernels.layer.gradcheck import describe_mismatch, gradcheck, sample_inputs
from kernels.layer.input_products import apply
from kernels.layer.select import SCHEDULES
from kernels.schedules.persistent.tiling import Chip
from kernels.schedules.stencil import stencil
from tests.reference import agree, check, draws, problem, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE
from tests.waves import CELLS, UPWIND

SIZES = [(1, 1, 3), (4, 3, 1), (9, 2, 5)]
"""T, B and D; H is what the grid has."""

BACKENDS = ["compiled", "stepwise", "stencil", "compiled-low", "stepwise-low", "stencil-low"]


@sample("case, backend", [(name, size) for name in CELLS for size in (SIZES if name == "wave" else SIZES[2:])], BACKENDS)
def test_schedules(case, backend):
    """Outputs and all gradients, in float32: a wave at all sizes; interpreted where it is Triton."""
    name, size = case
    check(draws(CELLS[name], *size, H=plan(CELLS[name]).fixed_width or 35), backend, torch.float32)


@sample("H, backend", [1, 2, 17, 33, 100], BACKENDS[:3])
def test_odd_grids(H, backend):
    check(draws(wave, 3, 2, 3, H), backend, torch.float32)


@pytest.mark.parametrize("name", ["wave", "damped_string", "klein_gordon"])
def test_many_steps(name):
    """A wave adds up over all steps whatever is rounded the same way in each, in reverse too."""
    check([problem(cells.load(name), 256, 8, 1, 64)], "compiled", torch.float32)


@pytest.mark.parametrize("name", ["wave", "interacting", "lopsided"])
def test_in_double(name):
    check(draws(CELLS[name], 9, 33, 2, plan(CELLS[name]).fixed_width or 35, dtype=torch.float64), "compiled", torch.float64)


@pytest.mark.full
def test_low_memory_across_chunks():
    """A sequence longer than a chunk, whose states are handed on between them."""
    check([problem(wave, checkpointing.CHUNK + 3, 1, 2, 12)], "stencil-low", torch.float32)


def test_a_state_handed_on_has_no_history_of_its_own():
    """u_{t−1} over time is u_t over time, a step later: it lies there once."""
    p = problem(wave, 5, 2, 1, 6)
    states = [p.given["u"], p.given["before"]]
    seen = {}

    class Spy:
        COMPUTES_PROJECTIONS = False

        @staticmethod
        def forward(loop):
            seen["u"], seen["before"] = SCHEDULES["stencil"].forward(loop).history
            return type("T", (), {"history": [seen["u"], seen["before"]], "arguments": []})()

    apply(plan(wave), Spy, p.given["x"], states, p.weights)
    assert seen["u"].untyped_storage().data_ptr() == seen["before"].untyped_storage().data_ptr()
    assert torch.equal(seen["before"][0], states[0]) and torch.equal(seen["before"][1:], seen["u"][:-1])


def test_the_plan():
    made = plan(wave)
    assert [(n.leaf.label, n.stencil.name, n.state) for n in made.stencil_inputs] == [("lap_u", "lap", 0)]
    assert not made.recurrent and not made.stages and made.fixed_width is None and plan(CELLS["box"]).fixed_width == 60
    assert "lap_u" in print_source(made.step, TRITON) and "lap_u" in print_source(adjoint(made.step), TRITON)
    assert len(plan(CELLS["lopsided"]).stencil_inputs) == 3


@pytest.mark.parametrize("name", CELLS)
def test_proven(name):
    """The derived adjoint is what differences say, at values that a step meets."""
    made, generator = plan(CELLS[name]), torch.Generator().manual_seed(0)
    assert describe_mismatch(made.step, sample_inputs(made, generator), generator) == ""
    gradcheck(made)


def test_what_a_gpu_takes(monkeypatch):
    """The stencil's kernel where it can, else a launch a step: of a grid that is shared out there is a share for each multiprocessor."""
    monkeypatch.setattr(stencil, "usable_chip", lambda index: Chip("small", 4, 0))
    for H, chosen in ((2048, "stencil"), (2049, "stencil"), (4096, "stencil"), (4097, "stepwise")):
        assert backend.fastest_schedule_name(plan(wave), torch.float32, torch.device("cuda"), 4, H) == chosen
    reason = stencil.unsupported_reason(plan(wave), torch.float32, torch.device("cuda"), 4, 4097)
    assert reason == "holds a grid of up to 4096 units, 1024 on each multiprocessor that this process may use, and not 4097: use stepwise"


def recurrent(u, x, W, b):
    return tanh(UPWIND(u) + W.h(u) + W.x(x))


@pytest.mark.parametrize(
    ("schedule", "cell", "dtype", "H", "reason"),
    [
        ("stencil", "minimal", torch.float32, 8, "is for units that look at their neighbours, and those of minimal don't"),
        ("stencil", recurrent, torch.float32, 8, "does not support matrices in the loop, and recurrent has some"),
        ("stencil", wave, torch.float16, 8, "computes in float32, not float16: a wave is a small difference"),
        ("stepwise", wave, torch.bfloat16, 8, "applies stencils in float32, not bfloat16"),
        ("persistent", recurrent, torch.float32, 8, "does not support stencils, and recurrent has one: use stepwise"),
    ],
    ids=["no stencil", "a matrix", "16 bit", "16 bit, stepwise", "persistent"],
)  # fmt: skip
def test_unsupported(schedule, cell, dtype, H, reason):
    import cells

    made = cells.load(cell) if isinstance(cell, str) else cell if isinstance(cell, Cell) else Cell(cell)
    assert reason in SCHEDULES[schedule].unsupported_reason(plan(made), dtype, torch.device("cpu"), 2, H)


@pytest.mark.parametrize("backend", ["compiled", "stepwise", "stepwise-low"])
def test_beside_a_matrix(backend):
    check(draws(Cell(recurrent), 4, 3, 2, 12), backend, torch.float32)


def test_in_a_graph():
    """What torch.compile sees returns no tensor twice, though u_{t−1} over time lies where u_t does."""
    p = problem(wave, 4, 2, 1, 6)
    name = custom_op.register(wave)
    given = {key: value.clone().requires_grad_() for key, value in p.given.items()}
    states = [given["u"], given["before"]]
    weights = {key: given[key] for key in p.weights}
    y, final = custom_op.apply(name, True, "stencil", given["x"], states, weights)
    ends, upstream = [y, *final], [p.upstream["y"], p.upstream["final u"], p.upstream["final before"]]
    found = torch.autograd.grad(ends, list(given.values()), upstream)
    expected = solve(p, "stencil", torch.float32)
    agree([dict(zip(given, found, strict=True))], [{key: expected[f"d {key}"] for key in given}], TOLERANCE["two ways", torch.float32])


def test_sequences_share_no_scratch(monkeypatch):
    """Programs run at once on a GPU: what a sequence's units owe their neighbours has a place of its own, filled in every other step."""
    kept = []
    made = stencil.backward_arguments

    def spy(*arguments):
        found = made(*arguments)
        kept.extend(t for part in found if isinstance(part, tuple) for t in part if getattr(t, "shape", None) == (2, 3, 12))
        return found

    monkeypatch.setattr(stencil, "backward_arguments", spy)
    check([problem(wave, 5, 3, 1, 12)], "stencil", torch.float32)
    (scratch,) = kept
    assert scratch.isfinite().all()

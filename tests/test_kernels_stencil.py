"""Cells with a stencil: the plan, every schedule against the equations in float64, and what can't be."""

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from cells.grammar.errors import CellError
from cells.grammar.functions import tanh
from cells.grammar.grid import Grid
from cells.grammar.stencil import Stencil
from cells.wave import damped_wave, wave
from kernels import RNN
from kernels.derive.adjoint import TRITON, adjoint, print_source
from kernels.derive.plan import plan
from kernels.layer import checkpointing, custom_op
from kernels.layer import select as backend
from kernels.layer.gradcheck import gradcheck, mismatch, sample_inputs
from kernels.layer.input_products import apply
from kernels.layer.select import SCHEDULES
from kernels.schedules.persistent.tiling import Chip
from kernels.schedules.stencil import stencil
from tests.reference import agree, check, draws, problem, solve
from tests.tolerances import TOLERANCE
from tests.waves import interacting

UPWIND = Stencil("up", (((0, 0), 0.75), ((-1, 0), -0.5), ((0, 1), 0.25), ((1, -1), 0.125)))
SHORT = Stencil("short", (((1,), 0.5), ((-1,), -0.25)), (35,))


def lopsided(h, c, x, W, b, p):
    """Stencils that are no one's transpose: two on one state, one on another, and one on what is learned."""
    h_next = tanh(UPWIND(h) + SHORT(c) * p.a + W.x(x) + b.h)
    return h_next, 0.5 * c + SHORT(h) * UPWIND(h) + SHORT(p.a)


CELLS = {"wave": wave, "line": damped_wave(Grid((35,)), dt=0.7), "box": damped_wave(Grid((3, 4, 5), border=1)),
         "interacting": interacting(Grid((5, 7))), "lopsided": Cell(lopsided)}  # fmt: skip
SIZES = [(1, 1, 3), (4, 3, 1), (9, 2, 5)]
"""T, B and D; H is what the grid has."""

BACKENDS = ["compiled", "stepwise", "stencil", "compiled-low", "stepwise-low", "stencil-low"]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", CELLS)
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_schedules(name, size, backend):
    """Outputs and all gradients, in float32; interpreted where it is Triton."""
    check(draws(CELLS[name], *size, H=plan(CELLS[name]).fixed_width or 35), backend, torch.float32)


@pytest.mark.parametrize("H", [1, 2, 17, 33, 100])
@pytest.mark.parametrize("backend", BACKENDS[:3])
def test_odd_grids(H, backend):
    check(draws(wave, 3, 2, 3, H), backend, torch.float32)


@pytest.mark.parametrize("name", ["wave", "damped_string", "klein_gordon"])
def test_many_steps(name):
    """A wave adds up over all steps whatever is rounded the same way in each, in reverse too."""
    check([problem(cells.load(name), 256, 8, 1, 64)], "compiled", torch.float32)


@pytest.mark.parametrize("name", ["wave", "interacting", "lopsided"])
def test_in_double(name):
    check(draws(CELLS[name], 9, 33, 2, plan(CELLS[name]).fixed_width or 35, dtype=torch.float64), "compiled", torch.float64)


def test_low_memory_across_chunks():
    """A sequence longer than a chunk, whose states are handed on between them."""
    check([problem(wave, checkpointing.CHUNK + 3, 1, 2, 12)], "stencil-low", torch.float32)


def test_a_state_handed_on_has_no_history_of_its_own():
    """u_{t−1} over time is u_t over time, a step later: it lies there once."""
    p = problem(wave, 5, 2, 1, 6)
    states = [p.given["u"], p.given["before"]]
    seen = {}

    class Spy:
        COMPUTES_FEEDS = False

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
    assert mismatch(made.step, sample_inputs(made, generator), generator) == ""
    gradcheck(made)


def test_what_a_gpu_takes(monkeypatch):
    """The stencil's kernel where it can, else a launch a step: of a grid that is shared out there is a share for each multiprocessor."""
    monkeypatch.setattr(stencil, "usable_chip", lambda index: Chip("small", 4, 0))
    for H, chosen in ((2048, "stencil"), (2049, "stencil"), (4096, "stencil"), (4097, "stepwise")):
        assert backend.choose_fastest(plan(wave), torch.float32, torch.device("cuda"), 4, H) == chosen
    reason = stencil.unsupported_reason(plan(wave), torch.float32, torch.device("cuda"), 4, 4097)
    assert reason == "holds a grid of up to 4096 units, 1024 on each multiprocessor that this process may use, and not 4097: use stepwise"


def recurrent(u, x, W, b):
    return tanh(UPWIND(u) + W.h(u) + W.x(x))


@pytest.mark.parametrize(
    ("schedule", "cell", "dtype", "H", "reason"),
    [
        ("stencil", "minimal", torch.float32, 8, "is for units that look at their neighbours, and those of minimal don't"),
        ("stencil", recurrent, torch.float32, 8, "knows no matrices in the loop, and recurrent has some"),
        ("stencil", wave, torch.float16, 8, "computes in float32, not float16: a wave is a small difference"),
        ("stepwise", wave, torch.bfloat16, 8, "applies stencils in float32, not bfloat16"),
        ("persistent", recurrent, torch.float32, 8, "knows no stencils, and recurrent has one: use stepwise"),
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


def of_an_expression(u, x, W, b):
    return tanh(UPWIND(u * u) + W.x(x))


def under_a_matrix(u, x, W, b):
    return tanh(W.h(UPWIND(u)) + W.x(x))


def two_of_one_name(u, x, W, b):
    return tanh(UPWIND(u) + Stencil("up", (((0, 0), 1.0),))(u) + W.x(x))


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (of_an_expression, "of_an_expression: up is applied to a state as it is, and not to what this step makes of one"),
        (under_a_matrix, "under_a_matrix: a matrix is applied to what a stencil finds of a state: no schedule runs that"),
        (two_of_one_name, "two_of_one_name: two stencils are called up: use two names"),
        (lambda h, x, W, b: UPWIND(W.h), "up takes a state or what is made of learned values and x, not a function"),
    ],
)
def test_wrong_cells(step, message):
    with pytest.raises(CellError, match=message):
        plan(Cell(step))


def test_a_layer_of_another_size():
    with pytest.raises(CellError, match="wave: lap is of a grid of 3×4×5 = 60 units, and not of 64"):
        RNN(CELLS["box"], 1, 64)


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


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize("first", ["inference", "export", "compile", "jacobian"])
def test_a_layer_is_trained_whoever_asked_for_its_weights_first(first, backend):
    """In inference mode, traced or transformed: no tensor of those is left for the others."""
    given = Stencil(f"{first}_{backend}", (((1,), 0.5), ((-1,), -0.25)))
    cell = Cell(lambda u, x, W, p: tanh(given(u) + given(p.c) + W.z(x)))
    layer = RNN(cell, 1, 9, backend=backend)
    x = torch.randn(3, 2, 1)
    y, learned = None, cell.learned(layer.weights())
    if first == "inference":
        with torch.inference_mode():
            y, _ = layer(x)
    elif first == "jacobian":
        torch.func.vmap(torch.func.jacrev(lambda u: cell((u,), x[0, :1], learned)[0]))(torch.randn(4, 1, 9))
    elif first == "export":
        y, _ = torch.export.export(layer, (x,)).module()(x)
    else:
        y, _ = torch.compile(layer, backend="aot_eager")(x)
    again, _ = layer(x)
    again.sum().backward()
    assert (y is None or torch.allclose(y, again, atol=1e-6)) and all(w.grad.isfinite().all() for w in layer.parameters())

"""`memory="low"`: the same numbers, from the states alone, and with no step of a loop run twice."""

import gc
import weakref
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

import cells
from bench.measure import memory
from bench.measure.backends import build_workload
from bench.measure.problem import make_problem as case
from bench.records import Memory
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from kernels.layer.autograd import make_pass
from kernels.layer.input_products import hoist
from kernels.layer.recompute import recompute_terms
from kernels.layer.select import SCHEDULES
from kernels.schedules.cpu import compiled
from kernels.schedules.interface import PassInputs
from tests import custom
from tests.reference import Problem, agree, check, draws, error, outputs, problem, solve
from tests.tolerances import TOLERANCE

EVERY = pytest.mark.parametrize("name", cells.SEED)
FEW = pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before"])
ALL = pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise", "persistent"])
BOTH = pytest.mark.parametrize("backend", ["compiled", "stepwise"])
SIZES = [(6, 1, 3, 9), (1, 1, 1, 1), (4, 2, 33, 1), (2, 2, 5, 17)]
"""T, B, D, H; chunks are 3 steps long."""


@pytest.fixture(autouse=True)
def short(monkeypatch) -> None:
    monkeypatch.setattr(checkpointing, "CHUNK", 3)


def supported(backend: str, p: Problem) -> None:
    """Skip what a schedule can't run."""
    if backend != "eager":
        reason = SCHEDULES[backend].unsupported_reason(plan(p.cell), torch.float32, torch.device("cpu"), *p.given[p.cell.states[0]].shape)
        if reason:
            pytest.skip(f"{backend} {reason}")


@ALL
@EVERY
def test_cells(name, backend):
    """Two chunks and a step more."""
    p = problem(cells.load(name), 7, 3, 5, 17)
    supported(backend, p)
    check([p], f"{backend}-low", torch.float32)


@ALL
@FEW
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_sizes(name, backend, size):
    """Whole chunks, less than one, one step, one sequence, one unit."""
    found = draws(cells.load(name), *size)
    supported(backend, found[0])
    check(found, f"{backend}-low", torch.float32)


@pytest.mark.parametrize("name", custom.CELLS)
def test_custom_cells(name):
    """What a user may write, from peepholes to three stages."""
    cell = custom.CELLS[name]
    check(draws(cell, 7, 3, 17 if plan(cell).elementwise_input else 5, 17), "compiled-low", torch.float32)


@pytest.mark.parametrize("name", ["peephole", "crossed", "nested", "squashed", "fed"])
def test_custom_cells_stepwise(name):
    check([problem(custom.CELLS[name], 7, 3, 5, 17)], "stepwise-low", torch.float32)


@pytest.mark.parametrize("name", [*cells.SEED, "peephole", "learned_bias", "autonomous"])
def test_no_bias(name):
    check([problem(custom.CELLS.get(name) or cells.load(name), 7, 2, 5, 17, bias=False)], "compiled-low", torch.float32)


@EVERY
def test_float64(name):
    check([problem(cells.load(name), 7, 2, 5, 17, dtype=torch.float64)], "compiled-low", torch.float64)


@FEW
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_sixteen_bit(name, dtype):
    """States are rounded between chunks too."""
    check([problem(cells.load(name), 7, 2, 5, 17, dtype=dtype)], "stepwise-low", dtype)


def test_gradients_add_up_in_float32(monkeypatch):
    """A bias whose gradient is 256 of the last chunk and 1 of each before it: in 16 bit, 256 + 1 is 256."""
    monkeypatch.setattr(checkpointing, "CHUNK", 1)
    p = problem(custom.CELLS["independent"], 9, 1, 1, 1)
    given = {name: torch.zeros_like(value).bfloat16() for name, value in p.given.items()}
    dy = torch.tensor([1.0] * 8 + [256.0]).bfloat16().view(9, 1, 1)
    found = solve(Problem(p.cell, p.bias, given, {"y": dy}), "stepwise-low", torch.bfloat16, through=["y"])
    assert found["d b.h"].item() == 264


@ALL
@pytest.mark.parametrize("through", [["y"], ["final h"], ["final c"]], ids=str)
def test_upstream(backend, through):
    """Gradients that arrive only through the outputs, or only through one final state."""
    check([problem(cells.load("lstm"), 7, 2, 5, 17)], f"{backend}-low", torch.float32, through=through)


@FEW
@pytest.mark.parametrize("part", ["x", "states", "first weight", "recurrent weights", "all but one", "all but x", "all but h"])
def test_frozen(name, part):
    """Whatever takes no gradient gets none, and changes no other."""
    p = problem(cells.load(name), 7, 2, 5, 17)
    weights = list(p.weights)
    frozen = {
        "x": ["x"], "states": p.cell.states, "first weight": weights[:1], "recurrent weights": [f"W.{m}" for m in plan(p.cell).recurrent],
        "all but one": [n for n in p.given if n != weights[-1]], "all but x": [n for n in p.given if n != "x"],
        "all but h": [n for n in p.given if n != "h"],
    }[part]  # fmt: skip
    check([p], "compiled-low", torch.float32, frozen=frozen)


@pytest.mark.parametrize("name", [*cells.SEED, "peephole", "nested"])
def test_strides(name):
    """An input and upstream gradients that lie in memory however they like."""
    p = problem(custom.CELLS.get(name) or cells.load(name), 7, 4, 5, 17)
    x = p.given["x"].transpose(0, 1).contiguous().transpose(0, 1)
    upstream = {name: value[:, :1].expand(value.shape) for name, value in p.upstream.items()}
    check([Problem(p.cell, p.bias, {**p.given, "x": x}, upstream)], "compiled-low", torch.float32)


@ALL
@pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before", "peephole"])
def test_inference(name, backend):
    """Without gradients the same numbers come out, and none is prepared."""
    p = problem(custom.CELLS.get(name) or cells.load(name), 7, 3, 5, 17)
    supported(backend, p)
    with torch.no_grad():
        full, low = outputs(p, backend), outputs(p, f"{backend}-low")
    agree([low], [full], TOLERANCE["two ways", torch.float32])
    assert len({value.untyped_storage().data_ptr() for value in low.values()}) == len(low)
    assert not any(value.requires_grad for value in outputs(p, f"{backend}-low").values())


@pytest.mark.parametrize("name", [*cells.SEED, *custom.CELLS])
def test_restored_terms(name):
    """They are the ones that a loop keeps, and so are what the computed products are applied to."""
    cell = custom.CELLS.get(name) or cells.load(name)
    p, made = problem(cell, 5, 3, 17 if plan(cell).elementwise_input else 5, 17), plan(cell)
    states = [p.given[name] for name in cell.states]
    tensors = [*hoist(made, p.given["x"], 17, p.weights), *states]
    loop = make_pass(made, compiled, True, 5, tensors, recompute=False)
    kept = compiled.forward(loop)
    before = [torch.cat([s[None], h[:-1]]) for s, h in zip(states, kept.history, strict=True)]
    terms, arguments = recompute_terms(made, tensors, before)
    assert len(arguments) == len(kept.arguments) and len(terms) == len(loop.terms)
    for found, expected in zip([*terms, *arguments], [*loop.terms, *kept.arguments], strict=True):
        assert error(found, expected) <= TOLERANCE["schedule", torch.float32]


@BOTH
def test_no_step_runs_twice(backend, monkeypatch):
    """A training step takes each time step through the loop once in either direction."""
    steps = {"forward": 0, "backward": 0}

    def counted(name: str) -> None:
        run = getattr(SCHEDULES[backend], name)

        def call(loop: PassInputs, *rest: object) -> object:
            steps[name] += loop.T
            return run(loop, *rest)

        monkeypatch.setattr(SCHEDULES[backend], name, call)

    counted("forward")
    counted("backward")
    solve(problem(cells.load("lstm"), 7, 2, 5, 17), f"{backend}-low", torch.float32)
    assert steps == {"forward": 7, "backward": 7}


@BOTH
def test_second_derivatives(backend):
    """A fused schedule has none, and says so."""
    rnn, x = RNN("gru", 4, 6, backend=backend, memory="low"), torch.randn(7, 2, 4, requires_grad=True)
    with pytest.raises(RuntimeError, match="can't be differentiated twice: create_graph=True takes backend='eager'"):
        torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)


def test_second_derivatives_eager():
    found = []
    x = torch.randn(7, 2, 4, requires_grad=True)
    rnn = RNN("gru", 4, 6, backend="eager")
    for rnn.memory in ("full", "low"):
        (dx,) = torch.autograd.grad(rnn(x)[0].square().sum(), x, create_graph=True)
        found.append(torch.autograd.grad(dx.square().sum(), list(rnn.parameters())))
    for a, b in zip(*found, strict=True):
        assert error(a, b) <= TOLERANCE["schedule", torch.float32]


@ALL
def test_layers(backend):
    """Layers, directions and layouts, against the same module with full memory."""
    options = {"num_layers": 2, "bidirectional": True, "batch_first": True}
    rnn, x, results = RNN("lstm", 4, 6, backend=backend, **options), torch.randn(2, 7, 4), []
    for rnn.memory in ("full", "low"):
        rnn.zero_grad()
        y, (h, c) = rnn(x)
        (y.square().sum() + h.sum() + c.square().sum()).backward()
        results.append([y.detach(), h.detach(), c.detach(), *(p.grad for p in rnn.parameters())])
    for full, low in zip(*results, strict=True):
        assert error(low, full) <= TOLERANCE["schedule", torch.float32]


@ALL
def test_empty_batch(backend):
    y, _ = RNN("gru", 4, 6, backend=backend, memory="low")(torch.randn(7, 0, 4))
    y.sum().backward()
    assert y.shape == (7, 0, 6)


@BOTH
def test_autocast(backend):
    """Its backward pass, too, computes in the weights' precision."""
    rnn, x, found = RNN("minimal", 4, 6, backend=backend, memory="low"), torch.randn(7, 2, 4), []
    for enabled in (False, True):
        rnn.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=enabled):
            rnn(x)[0].sum().backward()
        found.append([p.grad for p in rnn.parameters()])
    for plain, cast in zip(*found, strict=True):
        assert error(cast, plain) <= TOLERANCE["two ways", torch.float32]


def test_changed_in_place():
    """Autograd says so where the outputs, which the backward pass needs, are written to; the final states are nobody else's."""
    rnn, x = RNN("lstm", 4, 6, backend="compiled", memory="low"), torch.randn(7, 2, 4)
    y, (h, c) = rnn(x)
    right = torch.autograd.grad(y.sum(), list(rnn.parameters()), retain_graph=True)
    with torch.no_grad():
        h.zero_()
        c.zero_()
    assert all(torch.equal(a, b) for a, b in zip(torch.autograd.grad(y.sum(), list(rnn.parameters())), right, strict=True))
    y, _ = rnn(x)
    y += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


def test_says_so():
    with pytest.raises(ValueError, match="memory is 'full' or 'low', not 'tiny'"):
        RNN("gru", 4, 6, memory="tiny")
    assert repr(RNN("gru", 4, 6, memory="low")) == "RNN(gru, 4, 6, memory='low')"


T, B, H = 512, 8, 64
UNIT = 4 * T * B * H
"""Bytes of one state of all steps, in float32."""


@pytest.fixture
def measured(monkeypatch) -> Callable[[str, str], tuple[Memory, int]]:
    """The memory of a training step, and the peak of an inference."""
    monkeypatch.setattr(checkpointing, "CHUNK", 16)

    def measure(name: str, backend: str) -> tuple[Memory, int]:
        work = build_workload(backend, case(name, T, B, H, H, "float32", "cpu", 0))
        return memory.measure_memory(work), memory.peak_memory(work.infer, torch.device("cpu"))

    return measure


@pytest.mark.parametrize("name", ["lstm", "minimal_deep", "gru_reset_before"])
def test_the_states_are_all_that_is_kept(name, measured):
    """Between forward and backward, over the inputs and the weights. At its peak a training step holds them, the input's gradient,
    the weights a few times over, and of all else a chunk; inference holds the outputs and a chunk."""
    (training, infer), states, chunk = measured(name, "compiled-low"), len(cells.load(name).states), UNIT // 32
    assert training.saved == states * UNIT
    assert training.peak <= (states + 1) * UNIT + 5 * training.weights + 16 * chunk
    assert infer <= UNIT + training.weights + 6 * chunk


@pytest.mark.parametrize(("name", "kept", "held"), [("lstm", 2 / 6, 4 / 7), ("minimal", 1 / 3, 3 / 5)])
def test_a_part_of_full_memory(name, kept, held, measured):
    """Of what a full training step keeps (an LSTM two states and four terms, MinimalRNN its state, z and one term) and of what it holds
    at its peak, the gradients of the input and of what it returns besides."""
    (full, _), (low, _) = measured(name, "compiled"), measured(name, "compiled-low")
    assert low.saved <= kept * full.saved
    assert low.peak <= held * full.peak


def test_hooks_see_the_states_alone():
    """What a caller keeps elsewhere (`save_on_cpu`, say) is what lives from forward to backward, not what a chunk makes again."""
    packed: list[Tensor] = []
    rnn, x = RNN("lstm", 4, 6, backend="compiled", memory="low"), torch.randn(7, 2, 4)
    with torch.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y, _ = rnn(x)
        forward = len(packed)
        y.sum().backward()
    assert len(packed) <= forward + 1  # the loss may keep something


def test_nothing_waits_for_the_collector():
    """What is hoisted is gone when nobody needs it: no cycle of references holds it."""
    p = problem(cells.load("minimal_deep"), 3, 2, 5, 17)
    gc.collect()
    gc.disable()
    try:
        tensors = hoist(plan(p.cell), p.given["x"], 17, p.weights)
        made = [weakref.ref(t._base) for t in tensors if t is not None and t.dim() == 3]  # values, expanded to T and B
        del tensors
        assert len(made) == 1 and all(ref() is None for ref in made)
    finally:
        gc.enable()

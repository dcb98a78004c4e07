"""The schedules: every cell on each of them against its equations in float64, outputs and all gradients."""

from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from threading import Barrier, RLock

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch import Tensor

import cells
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from kernels.layer.autograd import Recurrence
from kernels.layer.input_products import hoist
from kernels.layer.select import SCHEDULES
from kernels.schedules.stepwise import cuda_graph
from tests import custom
from tests.reference import Problem, agree, check, decided, draws, like, outputs, problem, solve
from tests.tolerances import TOLERANCE

SIZES = [(1, 1, 1, 1), (5, 1, 3, 17), (3, 2, 33, 1), (3, 2, 1, 33), (1, 4, 17, 17), (2, 3, 7, 100)]
COMPILED = [(3, 31, 5, 17), (9, 33, 5, 17), (17, 2, 3, 5), (3, 70, 4, 9)]
"""T, B, D, H; those of COMPILED are around what its loop takes in one go: 32 rows, and 8 steps ahead."""

EVERY = pytest.mark.parametrize("name", cells.SEED)
BOTH = pytest.mark.parametrize("backend", ["compiled", "stepwise"])
EACH = pytest.mark.parametrize("backend", ["compiled", "stepwise", "persistent"])
FEW = pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before"])


def given_cell(name: str, T: int, B: int, D: int, H: int, **options: object) -> Problem:
    """The problem of a cell of the project or of `custom`, at D = H where it takes that."""
    cell = custom.CELLS.get(name) or cells.load(name)
    return problem(cell, T, B, H if plan(cell).elementwise_input else D, H, **options)


@EACH
@EVERY
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_cells(name, backend, size):
    """In float32, interpreted and compiled."""
    check(draws(cells.load(name), *size), backend, torch.float32)


@EVERY
@pytest.mark.parametrize("size", COMPILED, ids=str)
def test_blocks(name, size):
    """Around the blocks of rows and steps of the compiled loop."""
    check([problem(cells.load(name), *size)], "compiled", torch.float32)


@EVERY
@pytest.mark.parametrize("size", [SIZES[0], SIZES[-1], COMPILED[1]], ids=str)
def test_float64(name, size):
    """The compiled loop in double: its own sigmoid, tanh and products to the last digits."""
    check(draws(cells.load(name), *size, dtype=torch.float64), "compiled", torch.float64)


@FEW
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_sixteen_bit(name, dtype):
    """Stepwise in 16 bit, its states carried in float32."""
    check([problem(cells.load(name), 3, 2, 5, 17, dtype=dtype)], "stepwise", dtype)


@EACH
@pytest.mark.parametrize("name", custom.CELLS)
def test_custom_cells(name, backend):
    """What a user may write, from peepholes to three stages."""
    if backend == "persistent" and not plan(custom.CELLS[name]).stages:
        backend = "stepwise"  # nothing to keep on chip: see test_persistent
    cell = custom.CELLS[name]
    check(draws(cell, 3, 3, 17 if plan(cell).elementwise_input else 5, 17), backend, torch.float32)


@pytest.mark.parametrize("name", [*cells.SEED, "peephole", "learned_bias", "namesakes", "autonomous"])
def test_no_bias(name):
    """All `b` left out, all `p` still there."""
    check([given_cell(name, 3, 2, 5, 17, bias=False)], "compiled", torch.float32)


@settings(max_examples=40)
@given(st.sampled_from(cells.SEED), st.integers(1, 12), st.integers(1, 80), st.integers(1, 40), st.integers(1, 70))
@example("lstm", 2, 65, 16, 64)
def test_any_size_compiled(name, T, B, D, H):
    check(draws(cells.load(name), T, B, D, H), "compiled", torch.float32)


@settings(max_examples=12)
@given(st.sampled_from(cells.SEED), st.integers(1, 4), st.integers(1, 12), st.integers(1, 20), st.integers(12, 90))
def test_any_size_stepwise(name, T, B, D, H):
    check(draws(cells.load(name), T, B, D, H), "stepwise", torch.float32)


@BOTH
def test_small_values(backend):
    """CFN without input: its state decays to nothing, and what is left is as accurate as what it started from."""
    p = problem(cells.load("cfn"), 24, 2, 5, 17)
    check([p.with_given(x=torch.zeros_like(p.given["x"]))], backend, torch.float32)


@EACH
@EVERY
@pytest.mark.parametrize("through", ["y", "final"])
def test_upstream(name, backend, through):
    """Gradients that arrive only through the outputs, or only through the final states."""
    p = problem(cells.load(name), 3, 2, 5, 17)
    ends = [end for end in p.upstream if end.startswith(through)]
    check([p], backend, torch.float32, through=ends)


@EACH
def test_one_final_state(backend):
    """Of two final states only the second has a gradient."""
    check([problem(cells.load("lstm"), 3, 2, 5, 17)], backend, torch.float32, through=["final c"])


@BOTH
@FEW
@pytest.mark.parametrize("part", ["x", "states", "first weight", "recurrent weights", "all but one", "all but x", "all but h"])
def test_frozen(name, backend, part):
    """Whatever takes no gradient gets none, and changes no other."""
    p = problem(cells.load(name), 3, 2, 5, 17)
    weights = list(p.weights)
    recurrent = [f"W.{matrix}" for matrix in plan(p.cell).recurrent]
    frozen = {
        "x": ["x"], "states": p.cell.states, "first weight": weights[:1], "recurrent weights": recurrent,
        "all but one": [n for n in p.given if n != weights[-1]], "all but x": [n for n in p.given if n != "x"],
        "all but h": [n for n in p.given if n != "h"],
    }[part]  # fmt: skip
    check([p], backend, torch.float32, frozen=frozen)


STRIDED: dict[str, Callable[[Tensor], Tensor]] = {
    "transposed": lambda t: t.transpose(0, -1).contiguous().transpose(0, -1),
    "sliced": lambda t: t.repeat_interleave(2, dim=-1)[..., ::2],
    "expanded": lambda t: t[:, :1].expand(t.shape),
    "offset": lambda t: torch.cat([t.new_zeros(1), t.flatten()])[1:].view(t.shape),
}


@BOTH
@EVERY
@pytest.mark.parametrize("how", STRIDED)
def test_strides(name, backend, how):
    """Whatever is given however it lies in memory, and upstream gradients too."""
    p = problem(cells.load(name), 3, 4, 5, 17)
    moved = {name: STRIDED[how](value) for name, value in p.given.items() if how != "expanded" or name not in p.weights}
    upstream = {name: STRIDED[how](value) for name, value in p.upstream.items()}
    check([replace(p.with_given(**moved), upstream=upstream)], backend, torch.float32)


@BOTH
@pytest.mark.parametrize("name", [*cells.SEED, "peephole", "crossed", "nested", "squashed"])
@pytest.mark.parametrize("T", [1, 9])
def test_inference(name, backend, T):
    """Without gradients less is kept, and the same numbers come out."""
    p = given_cell(name, T, 3, 5, 17)
    trained = outputs(leaves(p), backend)
    with torch.no_grad():
        inferred = outputs(p, backend)
    agree([inferred], [trained], TOLERANCE["two ways", torch.float32])
    assert not any(value.requires_grad for value in inferred.values())


@BOTH
def test_inputs_stay(backend):
    """Nothing given is written to."""
    p = problem(cells.load("gru"), 3, 2, 5, 17)
    before = {n: v.clone() for n, v in [*p.given.items(), *p.upstream.items()]}
    solve(p, backend, torch.float32)
    assert all(torch.equal(before[n], v) for n, v in [*p.given.items(), *p.upstream.items()])


@BOTH
def test_final_states_are_their_own(backend):
    """They share no memory with the outputs, whoever writes to which."""
    out = outputs(problem(cells.load("lstm"), 3, 2, 5, 17), backend)
    assert len({value.untyped_storage().data_ptr() for value in out.values()}) == 3


@BOTH
def test_memory_of_a_former_run(backend):
    """A second backward pass over a kept graph gives the same gradients."""
    p = problem(cells.load("lstm"), 3, 2, 5, 17)
    x = p.given["x"].clone().requires_grad_()
    out = outputs(p.with_given(x=x), backend)["y"]
    first, second = (torch.autograd.grad(out, x, p.upstream["y"], retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


def test_one_thread():
    """However many threads share the rows, the same numbers come out."""
    p = problem(cells.load("lstm"), 3, 33, 5, 17)
    two = solve(p, "compiled", torch.float32)
    torch.set_num_threads(1)
    try:
        one = solve(p, "compiled", torch.float32)
    finally:
        torch.set_num_threads(2)
    agree([one], [two], TOLERANCE["two ways", torch.float32])


def leaves(p: Problem) -> Problem:
    """The problem with everything given a leaf that takes a gradient."""
    return p.with_given(**{name: value.clone().requires_grad_() for name, value in p.given.items()})


def rows(p: Problem) -> list[Tensor | None]:
    """`hoist`'s tensors with the products in front of the loop carried out: each feed given as its rows, without a weight."""
    tensors, feeds = hoist(plan(p.cell), p.given["x"], p.given["h"].shape[1], p.weights), layout(plan(p.cell)).feeds
    for k, feed in enumerate(feeds):
        v, W, bias = tensors[3 * k : 3 * k + 3]
        v = tensors[3 * len(feeds) + feed.value] if feed.value >= 0 else v
        tensors[3 * k : 3 * k + 3] = [torch.nn.functional.linear(v, W, bias), None, None]
    return tensors


@BOTH
@pytest.mark.parametrize("how", ["", "transposed"], ids=["contiguous", "transposed"])
@pytest.mark.parametrize("name", [*cells.SEED, "reused", "fed", "peephole"])
def test_given_rows(name, how, backend):
    """The loop alone, its rows given: it leaves them as they are, and gives their gradients."""
    p = given_cell(name, 3, 2, 5, 17)
    expected = solve(p, backend, torch.float32)
    p = leaves(p)
    tensors, given = rows(p), 3 * len(layout(plan(p.cell)).feeds)
    tensors[:given] = [STRIDED[how](t) if how and t is not None else t for t in tensors[:given]]
    before = [None if t is None else t.detach().clone() for t in tensors]
    y, *final = Recurrence.apply(plan(p.cell), SCHEDULES[backend], True, 3, *tensors, *(p.given[s] for s in p.cell.states))
    gradients = torch.autograd.grad([y, *final], list(p.given.values()), list(p.upstream.values()))
    found = dict(zip(expected, [y, *final, *gradients], strict=True))
    agree([found], [expected], TOLERANCE["two ways", torch.float32])
    assert all(t is None or torch.equal(t, b) for t, b in zip(tensors, before, strict=True))


@pytest.fixture
def chunks(monkeypatch) -> list[object]:
    """Replay in chunks of 3 steps on any device: what would be captured runs as it is. Returns what was captured."""
    captured: list[object] = []

    def capture(work: Callable[[], None]) -> Callable[[], None]:
        captured.append(work)
        work()
        return work

    monkeypatch.setattr(cuda_graph, "CHUNK", 3)
    monkeypatch.setattr(cuda_graph, "capture", capture)
    monkeypatch.setattr(cuda_graph, "count_graph_steps", lambda steps: steps.T // 3 * 3)
    monkeypatch.setattr(cuda_graph, "_idle", OrderedDict())
    return captured


@pytest.mark.parametrize("name", [*cells.SEED, "peephole", "crossed", "nested", "squashed", "fed", "reused"])
@pytest.mark.parametrize("T", [3, 7])
def test_replay(name, T, chunks):
    """Chunks and the steps that fill none, with and without gradients."""
    p = given_cell(name, T, 2, 5, 12)
    (trained,) = check([p], "stepwise", torch.float32)
    with torch.no_grad():
        inferred = outputs(p, "stepwise")
    agree([inferred], [{name: trained[name] for name in inferred}], TOLERANCE["two ways", torch.float32])
    assert len(chunks) == 3  # forward, backward, and forward without gradients


def test_replay_again(chunks):
    """A captured chunk serves other weights, inputs and lengths, and is captured anew for another batch or without dy."""
    cell = cells.load("lstm")
    for seed, T in enumerate((2, 3, 7, 6)):
        check([problem(cell, T, 2, 5, 12, seed=seed)], "stepwise", torch.float32)
    assert len(chunks) == 2
    check([problem(cell, 4, 1, 5, 12)], "stepwise", torch.float32)
    assert len(chunks) == 4
    check([problem(cell, 4, 2, 5, 12)], "stepwise", torch.float32, through=["final h"])
    assert len(chunks) == 5


def test_replay_forgets(chunks, monkeypatch):
    """No more chunks are kept than KEPT, those used last."""
    monkeypatch.setattr(cuda_graph, "KEPT", 2)
    for B in (1, 2, 1):
        with torch.no_grad():
            outputs(problem(cells.load("vanilla"), 3, B, 5, 7), "stepwise")
    assert len(chunks) == 2
    check([problem(cells.load("vanilla"), 3, 3, 5, 7)], "stepwise", torch.float32)
    assert len(chunks) == 4 and sum(map(len, cuda_graph._idle.values())) == 2


@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
def test_replay_within_a_replay(name, chunks, monkeypatch):
    """A call of the same size in the midst of another one, forward and backward, finds a chunk of its own, and leaves it for the next."""
    p, other = (problem(cells.load(name), 7, 2, 5, 12, seed=seed) for seed in (0, 1))
    capture, within = cuda_graph.capture, []

    def interrupted(work: Callable[[], None]) -> Callable[[], None]:
        again = capture(work)

        def turn() -> None:
            if not within:
                within.append(True)
                with torch.enable_grad():
                    check([other], "stepwise", torch.float32)
                within.clear()
            again()

        return turn

    monkeypatch.setattr(cuda_graph, "capture", interrupted)
    check([p], "stepwise", torch.float32)
    assert len(chunks) == 4  # forward and backward of each
    check([p], "stepwise", torch.float32)
    assert len(chunks) == 4


def test_replay_in_two_threads(chunks, monkeypatch):
    """Both have copied in what is theirs before either replays: each replays its own."""
    problems = [problem(cells.load("lstm"), 3, 2, 5, 12, seed=seed) for seed in (0, 1)]
    capture, both, interpreter = cuda_graph.capture, Barrier(2), RLock()

    def together(work: Callable[[], None]) -> Callable[[], None]:
        with interpreter:
            again = capture(work)

        def turn() -> None:
            both.wait(timeout=60)
            with interpreter:  # Triton's runs one kernel at a time
                again()

        return turn

    monkeypatch.setattr(cuda_graph, "capture", together)
    expected = [solve(p, "eager", torch.float32) for p in problems]
    for _ in range(2):
        with ThreadPoolExecutor(2) as pool:
            found = list(pool.map(lambda p: solve(p, "stepwise", torch.float32), problems))
        for one, right in zip(found, expected, strict=True):
            agree([one], [right], TOLERANCE["schedule", torch.float32])
    assert len(chunks) == 4  # of two threads, forward and backward


def test_replay_on_two_streams(chunks, monkeypatch):
    """What one stream has enqueued may still run when the next call comes, so another stream captures anew; later calls on both do not."""
    p = problem(cells.load("vanilla"), 3, 2, 5, 7)
    for stream, captured in ((7, 1), (8, 2), (7, 2), (8, 2)):
        monkeypatch.setattr(cuda_graph, "current_stream_handle", lambda device, stream=stream: stream)
        with torch.no_grad():
            outputs(p, "stepwise")
        assert len(chunks) == captured


def test_replay_in_inference_mode(chunks):
    """What was captured there serves where gradients are only off."""
    p = problem(cells.load("vanilla"), 3, 2, 5, 7)
    with torch.inference_mode():
        inferred = outputs(p, "stepwise")
    with torch.no_grad():
        agree([outputs(p, "stepwise")], [inferred], TOLERANCE["two ways", torch.float32])
    assert len(chunks) == 1


@pytest.mark.parametrize("name", ["lstm", "minimal", "gru_reset_before"])
def test_replay_with_low_memory(name, chunks, monkeypatch):
    """Whole histories without terms are captured apart from a run that keeps both, and from one that keeps neither."""
    monkeypatch.setattr(checkpointing, "CHUNK", 6)
    p = problem(cells.load(name), 13, 2, 5, 12)
    for backend in ("stepwise-low", "stepwise", "stepwise-low"):
        check([p], backend, torch.float32)
        with torch.no_grad():
            outputs(p, backend)
    assert len(chunks) == 4  # both forward passes, their one backward pass, and forward without gradients


def test_replay_of_given_rows(chunks):
    """A chunk captured for a run that may write its rows serves one that may not, and the other way round."""
    p = problem(cells.load("gru"), 3, 2, 5, 12)
    for _ in range(2):
        check([p], "stepwise", torch.float32)
        tensors = [None if t is None else t.detach().requires_grad_() for t in rows(p)]
        before = [None if t is None else t.detach().clone() for t in tensors]
        y, _ = Recurrence.apply(plan(p.cell), SCHEDULES["stepwise"], True, len(p.given["x"]), *tensors, p.given["h"])
        torch.autograd.grad(y, [t for t in tensors if t is not None], p.upstream["y"])
        agree([{"y": y}], [{"y": outputs(p, "stepwise")["y"]}], TOLERANCE["two ways", torch.float32])
        assert all(t is None or torch.equal(t, b) for t, b in zip(tensors, before, strict=True))


def test_no_recurrence():
    """A cell whose step reads no state: nothing but what stands in front of the loop."""

    def memoryless(h, x, W, b):
        return cells.grammar.functions.tanh(W.x(x) + b.h)

    check([problem(cells.Cell(memoryless), 3, 2, 5, 17)], "compiled", torch.float32)
    check([problem(cells.Cell(memoryless), 3, 2, 5, 17)], "stepwise", torch.float32)


def kink(bias: float) -> Problem:
    """vanilla_relu with W x = 1 - 1e-8 or so, in float64, and a bias of about -1: next to the kink."""
    p = problem(cells.load("vanilla_relu"), 1, 1, 1, 1, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return p.with_given(**{"x": one[None], "h": 0 * one, "W.hx": one, "W.hh": one, "b.h": one[0] * bias})


def test_kinks_within_rounding_are_no_error():
    """A run whose relu takes the other branch at rounding distance from 0 is held to the reference that takes it too."""
    p = kink(-1 - 1e-8)
    taken = {"y": torch.full((1, 1, 1), 1e-8)}
    assert solve(p, "eager", torch.float64)["d x"].item() == 0
    assert solve(like(p, taken, torch.float32), "eager", torch.float64)["d x"].item() != 0


def test_kinks_beyond_rounding_are_errors():
    with pytest.raises(AssertionError, match="1 branches of relu are wrong"):
        solve(like(kink(-1.1), {"y": torch.ones(1, 1, 1)}, torch.float32), "eager", torch.float64)


def test_run_takes_no_gradient_it_need_not():
    """Where nothing wants a gradient, none is prepared, whatever the mode."""
    p = problem(cells.load("minimal"), 2, 2, 3, 5)
    assert all(value.grad_fn is None for value in outputs(p, "compiled").values())


def test_decided_is_vanilla_relu():
    """With the branches of float64 itself, the reference that is told its branches is the reference."""
    p = problem(cells.load("vanilla_relu"), 4, 3, 5, 17)
    plain = solve(p, "eager", torch.float64)
    told = solve(Problem(decided(p, plain["y"] > 0, 0.0), True, p.given, p.upstream), "eager", torch.float64)
    assert all(torch.equal(plain[n], told[n]) for n in plain)

"""The persistent kernels: right in every form in Triton's interpreter, right with several programs at once, and on chip when compiled."""

import os

import pytest
import torch
import triton
import triton.language as tl

import cells
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.schedules.cpu import compiled
from kernels.schedules.interface import PassInputs
from kernels.schedules.persistent import persistent, time_loop
from kernels.schedules.persistent.tiling import Tiles, next_pow2
from kernels.schedules.stepwise import pointwise_kernel
from tests import custom, forked
from tests.reference import check, draws, outputs, problem
from tests.sampling import in_full, sample
from tests.tolerances import TOLERANCE

BOUND = TOLERANCE["schedule", torch.float32]
FORMS = [(False, 1, 2), (True, 1, 3), (False, 4, 1), (True, 2, 1)]
"""Whether units are a product's rows, its slices, and how many stretches of it are in flight."""
SIZES = [(1, 1, 3, 17), (3, 18, 7, 33)]
"""T, B, D, H."""

interpreted = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter")


@triton.jit
def one_too_few(counter, target):
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < target - 1:
        pass


@triton.jit
def no_wait(counter, target):
    tl.atomic_add(counter, 0, sem="acquire", scope="gpu")


@triton.jit
def used_again(counter, target):
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < tl.minimum(target, 4):
        pass


BROKEN = {"one arrival too few": one_too_few, "no wait": no_wait, "a counter used again": used_again}


@interpreted
@sample("name, size, form", cells.DEFAULT, SIZES, FORMS)
def test_forms(monkeypatch, name, size, form):
    """Each way to multiply, with one program to a batch tile: outputs and all gradients against float64."""
    units, split, flight = form
    monkeypatch.setattr(persistent, "tiling_for", lambda work, device, reduced: Tiles(16, next_pow2(work.H), 16, 4, units, split, flight))
    check(draws(cells.load(name), *size), "persistent", torch.float32)


@interpreted
def test_a_call_that_keeps_less_says_so(monkeypatch):
    """Its kernel is another one than a training step's, and is looked at by itself: without gradients, and without dy."""
    asked, tile = [], persistent.tiling_for
    monkeypatch.setattr(
        persistent, "tiling_for", lambda work, device, reduced: asked.append((work.direction, reduced)) or tile(work, device, reduced)
    )
    p = problem(cells.load("lstm"), 3, 2, 5, 17)
    check([p], "persistent", torch.float32)
    assert asked == [("forward", False), ("backward", False)]
    asked.clear()
    check([p], "persistent", torch.float32, through=["final h"])
    assert asked == [("forward", False), ("backward", True)]
    asked.clear()
    with torch.no_grad():
        outputs(p, "persistent")
    assert asked == [("forward", True)]


@interpreted
@sample("name, units", cells.DEFAULT, [False, True])
def test_forms_in_float16(monkeypatch, name, units):
    monkeypatch.setattr(persistent, "tiling_for", lambda work, device, reduced: Tiles(16, next_pow2(work.H), 16, 4, units))
    check([problem(cells.load(name), 3, 2, 5, 17, dtype=torch.float16)], "persistent", torch.float16)


def loop(cell: str, T: int, B: int, H: int, dtype: torch.dtype) -> PassInputs:
    """A training pass's loop with random contents, in shared memory."""
    p = plan(custom.CELLS.get(cell) or cells.load(cell))
    place = layout(p)

    def normal(*shape: int) -> torch.Tensor:
        return torch.randn(shape).to(dtype).share_memory_()

    alone = {k for i in place.recurrent_only for k in [place.slots[i][0]]}
    hoisted = [None if k in alone else normal(T, B, G, H) for k, G in enumerate(place.widths)]
    terms = [
        torch.full((T, B, G, H), torch.nan, dtype=dtype).share_memory_() if h is None else h.clone().share_memory_()
        for G, h in zip(place.widths, hoisted, strict=True)
    ]
    weights = [(torch.randn(len(g.terms) * H, H) / H**0.5).to(dtype).share_memory_() for g in place.groups]
    return PassInputs(p, T, [], hoisted, terms, [normal(H) for _ in p.vectors], weights, [normal(B, H) for _ in p.states])


def double(given: PassInputs) -> PassInputs:
    """The same loop in float64."""
    hoisted = [None if h is None else h.double() for h in given.hoisted]
    rest = ([t.double() for t in tensors] for tensors in (given.terms, given.vectors, given.weights, given.states))
    unread = [(given.states[0].double()[None], None, None) for _ in given.layout.projections]  # `hoisted` has what they are projected to
    return PassInputs(given.plan, given.T, unread, hoisted, *rest)


def far(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-9)).item() for a, b in zip(found, expected, strict=True))


def empty(tensors: list[torch.Tensor]) -> None:
    for tensor in tensors:
        tensor.fill_(torch.nan).share_memory_()


def at_once(cell: str, T: int, B: int, H: int, tiles: Tiles, dtype: torch.dtype = torch.float32) -> float:
    """The worst error of forward and backward, run with all programs at once, against the compiled loop in float64."""
    given = loop(cell, T, B, H, dtype)
    reference = double(given)
    expected = compiled.forward(reference)
    launch = persistent.Launch(given, tiles)
    launch.counters.share_memory_()
    trajectory = launch.allocate_result()
    empty([*trajectory.history, *trajectory.arguments])
    arguments = persistent.forward_arguments(launch, trajectory)
    forked.run(launch.grid[0], lambda grid: time_loop.forward[grid](*arguments), seconds=60 + T)
    worst = far([*trajectory.history, *given.terms], [*expected.history, *reference.terms])

    dy, *d_final = (torch.randn(shape).to(dtype) for shape in ((T, B, H), *((B, H) for _ in given.states)))
    wanted = compiled.backward(reference, expected, dy.double(), [d.double() for d in d_final])
    launch = persistent.Launch(given, tiles)
    launch.counters.share_memory_()
    made = launch.allocate_gradients()
    empty([*made.terms, *made.vectors, *made.states])
    arguments = persistent.backward_arguments(launch, trajectory, dy, d_final, made)
    forked.run(launch.grid[0], lambda grid: time_loop.backward[grid](*arguments), seconds=60 + T)
    found = launch.finish_gradients(made)
    return max(worst, far([*found.terms, *found.vectors, *found.states], [*wanted.terms, *wanted.vectors, *wanted.states]))


@interpreted
@sample("name, form", cells.DEFAULT, [(1, False, torch.float32), (4, True, torch.float32), (3, True, torch.float16)])
def test_cells_whose_programs_meet(name, form):
    """Every cell with two programs, in both orders and precisions."""
    T, units, dtype = form
    assert at_once(name, T, 3, 29, Tiles(16, 16, 32, 4, units), dtype) < TOLERANCE["schedule", dtype]


MANY = [(4, "vanilla", True, 1, 16), (8, "minimal", True, 1, 8), (8, "vanilla", True, 2, 8), (8, "nested", False, 1, 4)]
TOGETHER = [
    (2, "minimal", False, 1, 30), (2, "lstm", True, 1, 5), (2, "gru_reset_before", True, 2, 5),
    (4, "gru", False, 4, 4), (4, "cfn", True, 1, 4), *(in_full(*case) for case in MANY),
]  # fmt: skip
"""Programs, cell, form, and T: 48 steps forward and 48 backward in `make test`, 84 with MANY in `make test-full`, 64 times as many in
`make soak`."""


@interpreted
@pytest.mark.parametrize("programs, cell, units, split, T", TOGETHER)
def test_programs_that_meet_every_step(programs, cell, units, split, T):
    assert at_once(cell, T, 3, programs * 16 - 3, Tiles(16, 16, 64 // split, 4, units, split)) < BOUND


@interpreted
@pytest.mark.soak
@pytest.mark.parametrize("programs, cell, units, split, T", TOGETHER)
def test_programs_that_meet_for_long(programs, cell, units, split, T):
    assert at_once(cell, 64 * T, 3, programs * 16 - 3, Tiles(16, 16, 64 // split, 4, units, split)) < BOUND


@interpreted
def test_batch_tiles_wait_for_their_own_programs_only():
    assert at_once("minimal", 6, 37, 29, Tiles(16, 16, 16, 4)) < BOUND


@interpreted
@sample("broken, cell", list(BROKEN), ["vanilla", "gru_reset_before"])
def test_a_broken_barrier_is_seen(monkeypatch, broken, cell):
    """Four programs, each at its own pace: whoever doesn't wait for all reads NaN where one has not written yet."""
    monkeypatch.setattr(time_loop, "wait", BROKEN[broken])
    worst = (at_once(cell, 12, 5, 61, Tiles(16, 16, 16, 4)) for _ in range(3))
    assert any(not error < BOUND for error in worst)


@interpreted
@pytest.mark.parametrize("name", ["lstm", "gru_reset_before"])
def test_functions_are_made_once(name):
    """A second pass, forward and backward, derives and prints nothing: that takes longer than many a kernel."""
    given = [problem(cells.load(name), 1, 1, 3, 17)]
    check(given, "persistent", torch.float32)
    before = pointwise_kernel.jit_function.cache_info().misses
    check(given, "persistent", torch.float32)
    assert pointwise_kernel.jit_function.cache_info().misses == before


def test_a_plan_without_products_is_refused():
    reason = persistent.unsupported_reason(plan(custom.CELLS["independent"]), torch.float32, torch.device("cpu"), 4, 16)
    assert reason and "has none" in reason

"""The resident kernels: right alone in Triton's interpreter, right with several programs at once, and on chip when compiled."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

import cells
from kernels.layout import layout
from kernels.loop import Gradients, Loop
from kernels.plan import plan
from kernels.schedules import compiled, resident, sequence
from kernels.schedules.resident import Tiles
from tests import forked
from tests.tolerances import TOLERANCE

BOUND = TOLERANCE["schedule", torch.float32]
CELLS = ("cfn", "gru", "lstm", "minimal", "minimal_deep", "vanilla", "vanilla_relu")
interpreted = pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") != "1", reason="needs Triton's interpreter")


@triton.jit
def one_too_few(counter, target):
    while tl.atomic_add(counter, 0, sem="acquire", scope="gpu") < target - 1:
        pass


@triton.jit
def no_wait(counter, target):
    tl.atomic_add(counter, 0, sem="acquire", scope="gpu")


def loop(cell: str, T: int, B: int, H: int) -> Loop:
    """A training pass's loop with random contents, in shared memory."""
    p = plan(cells.load(cell))
    place = layout(p)
    alone = {k for i in place.alone for k in [place.slots[i][0]]}
    hoisted = [None if k in alone else torch.randn(T, B, G, H).share_memory_() for k, G in enumerate(place.widths)]
    terms = [
        torch.full((T, B, G, H), torch.nan).share_memory_() if h is None else h.clone().share_memory_()
        for G, h in zip(place.widths, hoisted, strict=True)
    ]
    weights = [(torch.randn(len(g.terms) * H, H) / H**0.5).share_memory_() for g in place.groups]
    vectors = [torch.randn(H).share_memory_() for _ in p.vectors]
    return Loop(p, T, [], hoisted, terms, vectors, weights, [torch.randn(B, H).share_memory_() for _ in p.states])


def far(found: list[torch.Tensor], expected: list[torch.Tensor]) -> float:
    return max(((a - b).abs().max() / b.abs().max().clamp_min(1e-9)).item() for a, b in zip(found, expected, strict=True))


def at_once(cell: str, T: int, B: int, H: int, tiles: Tiles) -> float:
    """The worst error of forward and backward, run with all programs at once, against the compiled loop."""
    given = loop(cell, T, B, H)
    reference = Loop(given.plan, T, [], given.hoisted, [t.clone() for t in given.terms], given.vectors, given.weights, given.states)
    expected = compiled.forward(reference)
    launch = resident.Launch(given, tiles)
    launch.counters.share_memory_()
    trajectory = given.trajectory()
    for h in trajectory.history:
        h.fill_(torch.nan).share_memory_()
    arguments = resident.forward_arguments(launch, trajectory)
    forked.run(tiles.grid, lambda grid: sequence.forward[grid](*arguments))
    worst = far([*trajectory.history, *given.terms], [*expected.history, *reference.terms])

    dy, d_final = torch.randn(T, B, H), [torch.randn(B, H) for _ in given.states]
    wanted = compiled.backward(reference, expected, dy, d_final)
    launch = resident.Launch(given, tiles)
    launch.counters.share_memory_()
    made = Gradients(
        [torch.full_like(t, torch.nan).share_memory_() for t in given.terms],
        [torch.full((-(-B // tiles.BB), H), torch.nan).share_memory_() for _ in given.vectors],
        [torch.full_like(s, torch.nan).share_memory_() for s in given.states],
    )
    arguments = resident.backward_arguments(launch, trajectory, dy, d_final, made)
    forked.run(tiles.grid, lambda grid: sequence.backward[grid](*arguments))
    vectors = [d.sum(0) for d in made.vectors]
    return max(worst, far([*made.terms, *vectors], [*wanted.terms, *wanted.vectors]))


@interpreted
@pytest.mark.parametrize(("programs", "cell"), [(2, "lstm"), (4, "gru"), (8, "minimal")])
def test_programs_that_meet_every_step(programs, cell):
    assert at_once(cell, 10, 5, programs * 16 - 3, Tiles(16, 16, 16, 4, programs, programs)) < BOUND


@interpreted
@pytest.mark.soak
@pytest.mark.parametrize("cell", CELLS)
def test_programs_that_meet_a_thousand_times(cell):
    assert at_once(cell, 500, 5, 61, Tiles(16, 16, 16, 4, 4, 4)) < BOUND


@interpreted
def test_batch_tiles_wait_for_their_own_programs_only():
    assert at_once("minimal", 6, 37, 29, Tiles(16, 16, 16, 4, 2, 6)) < BOUND


@interpreted
@pytest.mark.parametrize("broken", ["one arrival too few", "no wait"])
def test_a_broken_barrier_is_seen(monkeypatch, broken):
    """Four programs, each at its own pace: whoever doesn't wait for all reads NaN where one has not written yet."""
    monkeypatch.setattr(sequence, "wait", one_too_few if broken == "one arrival too few" else no_wait)
    worst = (at_once("vanilla", 12, 5, 61, Tiles(16, 16, 16, 4, 4, 4)) for _ in range(3))
    assert any(not error < BOUND for error in worst)


@pytest.mark.parametrize("cell", CELLS)
def test_tiles_fit_the_device(cell):
    p = plan(cells.load(cell))
    for H in (64, 100, 256, 512, 1000, 1024):
        for B in (1, 16, 64, 128):
            chosen = resident.tiles(p, B, H, 2, 132, resident.ROOM)
            if chosen is None:
                continue
            assert chosen.programs * chosen.BN >= H and chosen.grid >= chosen.programs
            assert chosen.programs == 1 or chosen.grid <= 132, "programs that meet must all be there"
            assert len(p.recurrent) * chosen.BN * H * 2 <= resident.ROOM


def test_two_stages_are_refused():
    reason = resident.unsupported(plan(cells.load("gru_reset_before")), torch.float32, torch.device("cpu"), 4, 16)
    assert reason and "one stage" in reason


def test_barrier_order_in_the_machine_code():
    """Compiled for an H100: a release and an acquire at gpu scope, block barriers around them, matrices on chip, no spills."""
    script = Path(__file__).with_name("offline_resident.py")
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(script.parents[1])}
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, env=environment)
    assert done.returncode == 0, done.stderr
    for row in json.loads(done.stdout):
        assert row["spills"] == 0, row
        assert row["tensor_cores"] > 0, row
        assert row["shared"] >= row["weights"], row
        assert (row["releases"], row["acquires"]) == ((1, 1) if row["meets"] else (0, 0)), row
        assert row["ordered"], row

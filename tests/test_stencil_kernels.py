"""The stencil kernels: a grid shared out among programs, each in a process of its own; and compiled, they keep everything in registers."""

import importlib.util
import os

import pytest
import torch

from cells.grammar.cell import Cell
from cells.grammar.functions import tanh
from cells.grammar.grid import Grid
from cells.grammar.stencil import Stencil
from cells.wave import wave
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules.stencil import stencil
from kernels.schedules.stencil.stencil import MAX_UNITS, UNITS_PER_PROGRAM
from tests import forked
from tests.offline import offline
from tests.reference import check, draws, problem
from tests.waves import interacting

interpreted = pytest.mark.skipif(not hasattr(os, "fork") or os.environ.get("TRITON_INTERPRET") != "1", reason="forks the interpreter")
FAR = Stencil("far", (((0, 0), 0.5), ((-2, 1), -0.25), ((1, 1), 0.125)))


def lopsided(h, c, x, W, b, p):
    """A stencil that is not its own transpose and reaches beyond the next program."""
    return tanh(FAR(h) + c * p.a + W.x(x) + b.h), 0.5 * c + FAR(c) * h


def shared(block: int, meet: int = 0) -> type[stencil.Launch]:
    """Launches of one sequence after the other, by programs of `block` units. `meet` is added to what their counter stands at."""

    class Launch(stencil.Launch):
        def __init__(self, loop):
            super().__init__(loop, block)

        def launch_kernel(self, kernel, arguments, variant=None):
            for part in arguments:
                for tensor in part if isinstance(part, tuple) else [part]:
                    if isinstance(tensor, torch.Tensor):
                        tensor.share_memory_()
            for first in range(self.B):
                counters = self.make_counters(1).add_(meet).share_memory_()
                forked.run(self.tiles, lambda grid, of=(counters, first): kernel[grid](*arguments, *of, *self.sizes), seconds=120)

    return Launch


@interpreted
@pytest.mark.parametrize(("cell", "T", "B", "H", "block"), [
    (wave, 5, 2, 70, 32), (wave, 1, 1, 64, 32), (wave, 4, 1, 100, 64),
    (interacting(Grid((8, 9))), 4, 1, 72, 32), (Cell(lopsided), 4, 1, 90, 32),
], ids=["wave", "one step", "uneven", "interacting", "lopsided"])  # fmt: skip
def test_programs_that_meet(cell, T, B, H, block, monkeypatch):
    """Outputs and all gradients, against the equations in float64."""
    monkeypatch.setattr(stencil, "Launch", shared(block))
    check(draws(cell, T, B, 2, H), "stencil", torch.float32)


@interpreted
def test_who_does_not_wait_is_wrong(monkeypatch):
    """The counter begins beyond any target, so nobody waits: what was not stored yet is NaN."""
    monkeypatch.setattr(stencil, "Launch", shared(32, meet=10**6))
    with pytest.raises(AssertionError):
        check([problem(wave, 8, 1, 2, 128)], "stencil", torch.float32)


def test_as_many_sequences_as_there_is_room_for(monkeypatch):
    """The programs of a launch are on the device at once."""
    monkeypatch.setattr(stencil, "count_programs", lambda launch, kernel, arguments: 5)
    launched = []

    class Kernel:
        def __getitem__(self, grid):
            return lambda *arguments, **options: launched.append(
                (*grid, len(arguments[0]), arguments[1], options["launch_cooperative_grid"])
            )

    example, loops = problem(wave, 3, 5, 1, 64), []
    monkeypatch.setattr(stencil, "forward", lambda loop: loops.append(loop) or stencil.allocate_history(loop)[0])
    apply(plan(wave), stencil, example.given["x"], [example.given["u"], example.given["before"]], example.weights)
    stencil.Launch(loops[0], 32).launch_kernel(Kernel(), ())
    assert launched == [(4, 64, 0, True), (4, 64, 2, True), (2, 32, 4, True)]
    stencil.Launch(loops[0]).launch_kernel(Kernel(), ())
    assert launched[3][0] == 5 and launched[3][2:] == (0, False)


@pytest.mark.gates
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_no_spills():
    found = offline(script="offline_stencil.py")
    sizes = {kernel["H"] for kernel in found}
    assert (
        MAX_UNITS in sizes and max(sizes) > 4 * UNITS_PER_PROGRAM and {kernel["direction"] for kernel in found} == {"forward", "backward"}
    )
    for kernel in found:
        assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], kernel
        assert 0 < kernel["registers"] <= 128 and kernel["barriers"] >= 1, kernel

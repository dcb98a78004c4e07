"""Compile the stencil kernels for GPUs that aren't here, and print what they use as JSON: a program of its own, outside of the
interpreter.

    offline_stencil.py     forward and backward, from a small grid to one of five programs, on an H100
"""

import json
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

import torch

from cells.grammar.cell import Cell
from cells.grammar.grid import Grid
from cells.wave import wave
from kernels.derive.plan import Plan, plan
from kernels.schedules import compile_for
from kernels.schedules.interface import PassInputs
from kernels.schedules.stencil import stencil, stencil_kernels
from tests.waves import interacting

CASES: list[tuple[Cell, int]] = [
    (wave, 17),
    (wave, 256),
    (wave, 1024),
    (wave, 2048),
    (interacting(Grid((32, 64))), 2048),
    (wave, 4608),
    (interacting(Grid((64, 72))), 4608),
]


def example(made: Plan, T: int, B: int, H: int) -> PassInputs:
    """A training loop on nothing."""
    terms = [torch.empty(T, B, 1, H) for _ in made.terms]
    vectors = [torch.empty(H) for _ in made.vectors]
    return PassInputs(made, T, [], list(terms), terms, vectors, [], [torch.empty(B, H) for _ in made.states])


def warm(loop: PassInputs, direction: str) -> Any:
    launch = stencil.Launch(loop, stencil.UNITS_PER_PROGRAM if loop.shape[2] > stencil.MAX_UNITS else 0)
    trajectory, stored = stencil.allocate_history(loop)
    if direction == "forward":
        kernel, arguments = stencil_kernels.forward, stencil.forward_arguments(launch, trajectory, stored)
    else:
        made = stencil.allocate_gradients(launch)
        kernel, arguments = (
            stencil_kernels.backward,
            stencil.backward_arguments(launch, trajectory, trajectory.history[0], loop.states, made),
        )
    return kernel.warmup(*arguments, launch.make_counters(4), 0, *launch.sizes, grid=(4 * launch.tiles,), **launch.options)


if __name__ == "__main__":
    found = []
    for cell, H in CASES:
        for direction in ("forward", "backward"):
            loop = example(plan(cell), 2, 4, H)
            used = compile_for.measure_kernel(90, lambda loop=loop, direction=direction: warm(loop, direction))
            found.append({
                "cell": cell.name, "direction": direction, "H": H, "registers": used.registers, "stack": used.stack, "local": used.local,
                "spills": [word for word in ("LDL", "STL") if word in used.sass], "barriers": used.sass.count("BAR.SYNC"),
            })  # fmt: skip
    print(json.dumps(found))

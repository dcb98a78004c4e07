"""Compile the step kernels for GPUs that aren't here, and print what came of it as JSON: a program of its own, since Triton is
either in interpreter mode or compiles, for a whole process.

    offline_steps.py resources [CELL…]     of every cell's step and adjoint on every architecture: stack, local memory, spills
    offline_steps.py recompile [CELL…]     how many kernels there are after each of a series of sequence lengths and batches
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cells
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.stepwise import pointwise_kernel, steps, stepwise
from tests import custom

CAPABILITIES = (80, 90, 100)
NAMES = (*cells.DEFAULT, "slstm", "chosen", "smooth")
"""The last three apply every function there is."""

SIZES = [(2, 7), (1, 7), (3, 1), (16, 16), (17, 4), (2, 33), (2, 256)]
"""T, B: short and long, odd and even, and one."""


def launches(name: str, T: int, B: int, D: int, H: int) -> list[tuple[Any, ...]]:
    """Of every launch of a training run and then of an inference run: the name of the function, and the kernel's arguments."""
    found: list[tuple[Any, ...]] = []
    steps.launch = lambda f, *rest: found.append((f.name, *pointwise_kernel.kernel_arguments(f, *rest)))
    cell = custom.CELLS.get(name) or cells.load(name)
    D = H if plan(cell).elementwise_input else D
    weights = {key: torch.zeros(shape, requires_grad=True) for key, shape in cell.shapes(D, H).items()}
    states = [torch.zeros(2, B, H)[1] for _ in cell.states]  # those of a second layer
    y, final = apply(plan(cell), stepwise, torch.zeros(T, B, D), states, weights)
    (y.sum() + final[-1].sum()).backward()
    with torch.no_grad():
        apply(plan(cell), stepwise, torch.zeros(T, B, D), states, weights)
    return found


def warm(arguments: tuple[Any, ...]) -> Any:
    return pointwise_kernel.kernel.warmup(*arguments, grid=(1,), enable_fp_fusion=True)


def resources(name: str) -> list[dict[str, Any]]:
    """Of each function as it is launched first: in training, at a time that has one before it."""
    found = []
    first = {kernel: arguments for kernel, *arguments in reversed(launches(name, 2, 32, 64, 256))}
    for kernel, arguments in first.items():
        for capability in CAPABILITIES:
            used = compile_for.measure_kernel(capability, lambda arguments=arguments: warm(arguments))
            spills = [word for word in ("LDL", "STL") if word in used.sass]
            found.append({
                "kernel": kernel, "capability": capability, "registers": used.registers, "stack": used.stack, "local": used.local,
                "spills": spills, "code": used.sass.count(";"),
            })  # fmt: skip
    return found


def recompile(name: str) -> list[tuple[int, int, int]]:
    """T, B and the number of kernels compiled for this cell so far."""
    found = []
    with compile_for.target_device(90):
        before = len(pointwise_kernel.kernel.device_caches[90][0])
        for T, B in SIZES:
            for _, *arguments in launches(name, T, B, 5, 17):
                warm(arguments)
            found.append((T, B, len(pointwise_kernel.kernel.device_caches[90][0]) - before))
    return found


if __name__ == "__main__":
    work = {"resources": resources, "recompile": recompile}[sys.argv[1]]
    with ProcessPoolExecutor(2) as pool:
        names = sys.argv[2:] or NAMES
        print(json.dumps(dict(zip(names, pool.map(work, names), strict=True))))

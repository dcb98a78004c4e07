"""Compile the scan kernels for GPUs that aren't here, and print what came of it as JSON: a program of its own, since Triton is either
in interpreter mode or compiles, for a whole process.

    offline_scan.py resources [CELL…]     for an H100, and `SAMPLE` for an A100 and a B200 too and in bfloat16: stack, local memory, spills
    offline_scan.py recompile [CELL…]     how many kernels there are after each of a series of sequence lengths and batches
"""

import json
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cells
from kernels.derive.adjoint import is_affine
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.scan import scan, scan_kernels
from tests import custom

PLANS = {name: plan(cells.load(name)) for name in cells.names()}
NAMES = (*(name for name, made in PLANS.items() if not (made.stages or made.stencil_inputs)), *custom.ELEMENTWISE)
SAMPLE = "rotating"
SIZES = [(2, 7), (3, 1), (16, 16), (300, 33)]
"""T, B: short and long, odd and even, and one."""


def calls(name: str, T: int, B: int, D: int, H: int, dtype: torch.dtype, cuts: int) -> list[tuple[Any, tuple[Any, ...]]]:
    """The kernels of a training run and of an inference run, with their arguments. None is launched."""
    found: list[tuple[Any, tuple[Any, ...]]] = []
    scan.Launch.launch_kernel = lambda self, kernel, *arguments: found.append((kernel, arguments))  # type: ignore[method-assign]
    cell = custom.CELLS.get(name) or cells.load(name)
    scan.count_chunks = lambda plan, T, *given: min(cuts, T) if given[-1] or is_affine(plan.step) else 1
    D = H if plan(cell).elementwise_input else D
    weights = {key: torch.zeros(shape, dtype=dtype, requires_grad=True) for key, shape in cell.shapes(D, H).items()}
    x, states = torch.zeros(T, B, D, dtype=dtype), [torch.zeros(B, H, dtype=dtype) for _ in cell.states]
    y, final = apply(plan(cell), scan, x, states, weights)
    torch.autograd.backward([y, *final], [torch.ones_like(t) for t in (y, *final)])
    with torch.no_grad():
        apply(plan(cell), scan, x, states, weights)
    return found


def warm(kernel: Any, arguments: tuple[Any, ...]) -> Any:
    return kernel.warmup(*arguments, grid=(1, 1), num_warps=scan.BLOCK // 32, enable_fp_fusion=True)


def resources(name: str) -> list[dict[str, Any]]:
    """Of a training run in four chunks of time, where it can be cut."""
    found = []
    for dtype in (torch.float32, torch.bfloat16) if name == SAMPLE else (torch.float32,):
        trained = {kernel.fn.__name__: (kernel, arguments) for kernel, arguments in reversed(calls(name, 256, 8, 64, 256, dtype, 4))}
        for kernel, arguments in trained.values():
            for capability in (80, 90, 100) if name == SAMPLE else (90,):
                used = compile_for.measure_kernel(capability, lambda kernel=kernel, arguments=arguments: warm(kernel, arguments))
                found.append({
                    "kernel": kernel.fn.__name__, "capability": capability, "dtype": str(dtype), "registers": used.registers,
                    "stack": used.stack, "local": used.local, "spills": [word for word in ("LDL", "STL") if word in used.sass],
                    "code": used.sass.count(";"),
                })  # fmt: skip
    return found


def recompile(name: str) -> list[tuple[int, int, int]]:
    """T, B and the number of kernels compiled for this cell so far, with time in chunks wherever there are two steps."""
    found = []
    kernels = (scan_kernels.chunk_summary, scan_kernels.forward, scan_kernels.chunk_summary_backward, scan_kernels.backward)
    with compile_for.target_device(90):
        for T, B in SIZES:
            for cuts in (1, 2):
                for kernel, arguments in calls(name, max(T, 2), B, 5, 17, torch.float32, cuts):
                    warm(kernel, arguments)
            found.append((T, B, sum(len(kernel.device_caches[90][0]) for kernel in kernels)))
    return found


if __name__ == "__main__":
    work = {"resources": resources, "recompile": recompile}[sys.argv[1]]
    with ProcessPoolExecutor(2) as pool:
        names = sys.argv[2:] or NAMES
        print(json.dumps(dict(zip(names, pool.map(work, names), strict=True))))

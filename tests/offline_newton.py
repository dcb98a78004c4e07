"""Compile the kernels of the schedule newton for GPUs that aren't here, and print what they use as JSON: a program of its own, outside of
the interpreter.

    offline_newton.py [CELL…]     of a training run in four chunks of time, for an A100, an H100 and a B200
"""

import json
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))

import cells
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.schedules import compile_for
from kernels.schedules.newton import newton, newton_kernels, triton_form
from kernels.schedules.stepwise import pointwise_kernel
from tests import custom

CAPABILITIES = (80, 90, 100)
KERNELS = {name: getattr(newton_kernels, name) for name in ("chunk_summary", "update", "check")}


def calls(name: str) -> dict[str, Any]:
    """Each kernel of a training run, by its name and its function's, as a function that compiles it. None is launched."""
    found: dict[str, Any] = {}

    def record(key: str, kernel: Any, arguments: tuple[Any, ...], options: dict[str, Any]) -> None:
        found.setdefault(key, lambda: kernel.warmup(*arguments, grid=(1, 1), **options))

    class Launched:
        def __init__(self, kernel: Any, name: str):
            self.kernel, self.name = kernel, name

        def __getitem__(self, grid: Any) -> Any:
            return lambda *arguments, **options: record(f"{self.name}{'_reversed' * options['REVERSED']}", self.kernel, arguments, options)

    for kernel in KERNELS:
        setattr(newton_kernels, kernel, Launched(KERNELS[kernel], kernel))
    triton_form.launch = lambda f, *rest: record(  # type: ignore[assignment]
        f.name, pointwise_kernel.kernel, pointwise_kernel.kernel_arguments(f, *rest), {"enable_fp_fusion": True}
    )
    triton_form.chunks_that_fill = lambda *_: 4
    triton_form.Iteration.poll = lambda self: setattr(self, "converged", self.system.T if self.k else 0)  # type: ignore[method-assign]
    newton.find_form = lambda device: triton_form
    cell = custom.CELLS.get(name) or cells.load(name)
    T, B, D, H = 256, 8, 64, 64
    weights = {
        key: torch.zeros(shape, requires_grad=True) for key, shape in cell.shapes(H if plan(cell).elementwise_input else D, H).items()
    }
    x = torch.zeros(T, B, H if plan(cell).elementwise_input else D)
    y, final = apply(plan(cell), newton, x, [torch.zeros(B, H) for _ in cell.states], weights)
    torch.autograd.backward([y, *final], [torch.ones_like(t) for t in (y, *final)])
    return found


def resources(name: str) -> list[dict[str, Any]]:
    """What each kernel uses on each architecture."""
    return [
        {"kernel": key, "capability": capability, "registers": used.registers, "stack": used.stack, "local": used.local,
         "spills": [word for word in ("LDL", "STL") if word in used.sass]}
        for key, compile in calls(name).items() for capability in CAPABILITIES
        for used in [compile_for.measure_kernel(capability, compile)]
    ]  # fmt: skip


if __name__ == "__main__":
    print(json.dumps({name: resources(name) for name in sys.argv[1:]}))

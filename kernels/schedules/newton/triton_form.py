"""The newton schedule on a GPU: pointwise functions and the affine scan as kernels (`newton_kernels`), products by cuBLAS.

No iteration waits for the device. Kernels read from its memory whether all steps have converged, and then change nothing; the host reads
the same a few iterations late, and stops: the result doesn't depend on when it reads.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.schedules.newton import newton_kernels
from kernels.schedules.newton.systems import System
from kernels.schedules.scan.scan import BLOCK, chunks_that_fill
from kernels.schedules.stepwise.pointwise_kernel import Operand, launch

LATE = 2
"""Iterations that are enqueued before the host reads what one has found. An assumption, not measured."""
CHECK_BLOCK = 256
"""Units of a sequence that a program of the check reads at once."""


def evaluate(plan: Plan, f: Pointwise, inputs: Sequence[Tensor], outputs: Sequence[Tensor | None], add: bool = False) -> None:
    """Evaluates a pointwise function over all rows, as `cpu_form.evaluate` does; each is a kernel of its own, whatever its plan."""
    T, B, H = next(out for out in outputs if out is not None).shape

    def operand(tensor: Tensor) -> Operand:
        return Operand(tensor, tensor.stride(-2) // H if tensor.dim() > 1 else 0)

    stores = [(len(f.inputs) + k, operand(out), add) for k, out in enumerate(outputs) if out is not None]
    launch(f, [(k, operand(v)) for k, v in enumerate(inputs)], stores, 0, T * B, H)


class Iteration:
    """The steps of an iteration, as `cpu_form.Iteration` has them.

    Args:
        system: the system to solve.
        tolerance: the largest residual of a row that has converged, relative to the largest of its elements.
        budget: the maximum number of iterations.
        is_fixed: whether all of them run and change the trajectory. Then the host reads nothing on the way.
    """

    def __init__(self, system: System, tolerance: float, budget: int, is_fixed: bool):
        self.system, self.tolerance, self.is_fixed, self.k = system, tolerance, is_fixed, -1
        self.converged: int | None = 0
        device = system.values[0].device
        self.counts = torch.full((budget + 2,), system.T, dtype=torch.int32, device=device)
        self.counts[0] = -1
        self.read = torch.empty(budget + 2, dtype=torch.int32, pin_memory=device.type == "cuda")
        self.events: list[torch.cuda.Event] = []
        elements = system.B * system.H
        length = -(-system.T // chunks_that_fill(system.T, elements, device))
        self.chunks, S = -(-system.T // length), len(system.values)
        self.grid = (-(-elements // BLOCK), self.chunks)
        self.chunk_ends = system.values[0].new_empty(self.chunks, S + S * S, elements) if self.chunks > 1 else None
        self.options = {"STATES": tuple(range(S)), "REVERSED": system.is_reversed}
        self.sizes = (system.T, elements, length)
        self.steps = max(1, min(8, 2 ** ((32 // (S * S + 2 * S)).bit_length() - 1)))

    def count_converged(self) -> int:
        """Returns the number of steps, in the order in which they follow from each other, that had converged before the last update;
        waits for the device."""
        return int(self.counts[self.k + 1])

    def advance(self) -> None:
        """Evaluates the system, and updates its trajectory."""
        self.system.evaluate()
        self.check()
        self.update()

    def check(self) -> None:
        """Counts the steps of the trajectory that have converged. A residual that is no number has not."""
        system, self.k = self.system, self.k + 1
        newton_kernels.check[(system.T, system.B)](
            tuple(system.values), tuple(system.trajectory), self.counts, self.last_read, self.k, system.T, system.B, self.tolerance,
            H=system.H, BLOCK=CHECK_BLOCK, enable_fp_fusion=True, **self.options,
        )  # fmt: skip
        if not self.is_fixed:
            self.poll()

    @property
    def last_read(self) -> int:
        """Returns the iteration by whose count kernels decide whether to change anything: the one before the first if all must run."""
        return 0 if self.is_fixed else self.k

    def poll(self) -> None:
        """Reads what an earlier iteration has found, without waiting for a later one."""
        if not self.counts.is_cuda:
            self.converged = int(self.counts[self.k + 1])
        else:
            self.read[self.k + 1].copy_(self.counts[self.k + 1], non_blocking=True)
            self.events.append(torch.cuda.current_stream().record_event())
            if self.k >= LATE:
                self.events[self.k - LATE].synchronize()
                self.converged = int(self.read[self.k + 1 - LATE])

    def update(self) -> None:
        """Solves the linearised system: adds to the trajectory the affine scan of its residuals. What overflows becomes 0."""
        system = self.system
        slopes = tuple(slope for by in system.slopes for slope in by)
        arguments: tuple[Any, ...] = (tuple(system.values), slopes, tuple(system.trajectory), self.chunk_ends, self.counts, self.last_read)
        kernels = [newton_kernels.update] if self.chunk_ends is None else [newton_kernels.chunk_summary, newton_kernels.update]
        for kernel in kernels:
            kernel[self.grid](
                *arguments, *self.sizes, BLOCK=BLOCK, STEPS=self.steps, num_warps=BLOCK // 32, enable_fp_fusion=True, **self.options
            )

"""Solvers of h_t = a_t h_{t-1} + b_t from h_0 = 0: torch's scan, and the GPU kernels of other packages.

Each takes a and b (T, B, H) and returns h (T, B, H), differentiable in both. Conversions to the layout that a package needs happen here and
are part of the time. Sources: accelerated-scan 0.3 (github.com/proger/accelerated-scan, accelerated_scan/scalar.py); fla-core 0.6
(github.com/fla-org/flash-linear-attention, fla/ops/hgrn). accelerated_scan.warp is left out: importing it compiles it with nvcc, and it
needs a T that is a power of two.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor

Solve = Callable[[Tensor, Tensor], Tensor]


def run_associative_scan(a: Tensor, b: Tensor) -> Tensor:
    """Runs torch's prototype, uncompiled, in the only mode that works on both CPU and GPU."""
    from torch._higher_order_ops.associative_scan import associative_scan  # torch may move it, and no other backend needs it

    _, h = associative_scan(lambda first, then: (then[0] * first[0], then[0] * first[1] + then[1]), (a, b), dim=0, combine_mode="generic")
    return h


def run_accelerated_scan(a: Tensor, b: Tensor) -> Tensor:
    """Runs the Triton kernel of accelerated-scan, for any T. It needs (B, H, T), contiguous, so a and b are copied."""
    from accelerated_scan.scalar import scan

    return scan(a.permute(1, 2, 0).contiguous(), b.permute(1, 2, 0).contiguous()).permute(2, 0, 1)


def run_hgrn(kernel: str, a: Tensor, b: Tensor) -> Tensor:
    """Runs fla's HGRN: `kernel` "chunk_hgrn" is parallel over chunks of time, "fused_recurrent_hgrn" runs step by step in one kernel.

    a and b are viewed as one sequence of B·H units, so nothing is copied. fla takes log a, and its chunk kernel has no gradient of an
    initial state, so the recurrence starts at 0.
    """
    T, run = len(b), getattr(importlib.import_module("fla.ops.hgrn"), kernel)
    return run(b.reshape(1, T, -1), a.log().reshape(1, T, -1))[0].view_as(b)


@dataclass(frozen=True)
class Scan:
    """A solver of the recurrence.

    Attributes:
        run: The function.
        module: The module that has it; "" for torch's own, which runs everywhere.
        package: The package to install for the module.
        positive: Whether every a must be positive.
    """

    run: Solve
    module: str = ""
    package: str = ""
    positive: bool = False

    def explain_unsupported(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Returns why the solver can't run on a device with a dtype, or None."""
        if not self.module:
            return None
        if device.type != "cuda":
            return "needs a GPU"
        if dtype == torch.float64:
            return "takes no float64"
        try:
            importlib.import_module(self.module)
        except ImportError as error:
            return f"{self.package} is not installed ({error}): pip install {self.package}"
        return None


SCANS = {
    "associative": Scan(run_associative_scan),
    "accelerated": Scan(run_accelerated_scan, "accelerated_scan.scalar", "accelerated-scan"),
    "fla_chunk": Scan(partial(run_hgrn, "chunk_hgrn"), "fla.ops.hgrn", "fla-core", positive=True),
    "fla_recurrent": Scan(partial(run_hgrn, "fused_recurrent_hgrn"), "fla.ops.hgrn", "fla-core", positive=True),
}
"""The solvers by backend name."""

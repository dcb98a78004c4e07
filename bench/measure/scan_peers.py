"""Scans that run h_t = a_t h_{t-1} + b_t from h_0 = 0 over a whole sequence: torch's, and the kernels of packages for a GPU.

Each takes a and b (T, B, H) and returns h (T, B, H), differentiable in both. What a package wants instead is made here, and its time
counts. Sources: accelerated-scan 0.3 (github.com/proger/accelerated-scan, accelerated_scan/scalar.py); fla-core 0.6
(github.com/fla-org/flash-linear-attention, fla/ops/hgrn). Not among them: accelerated_scan.warp, which is compiled by nvcc when it is
imported, and takes a T that is a power of two.
"""

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Solve = Callable[[Tensor, Tensor], Tensor]


def run_associative_scan(a: Tensor, b: Tensor) -> Tensor:
    """torch's prototype, uncompiled, in the only mode that a CPU and a GPU share."""
    from torch._higher_order_ops.associative_scan import associative_scan  # torch may move it, and no other backend needs it

    _, h = associative_scan(lambda first, then: (then[0] * first[0], then[0] * first[1] + then[1]), (a, b), dim=0, combine_mode="generic")
    return h


def run_accelerated_scan(a: Tensor, b: Tensor) -> Tensor:
    """The Triton kernel of accelerated-scan, for a T of any length. It wants (B, H, T), contiguous: a and b are copied there."""
    from accelerated_scan.scalar import scan

    return scan(a.permute(1, 2, 0).contiguous(), b.permute(1, 2, 0).contiguous()).permute(2, 0, 1)


def run_fla_chunk(a: Tensor, b: Tensor) -> Tensor:
    """fla's HGRN, parallel over chunks of time."""
    from fla.ops.hgrn import chunk_hgrn

    return run_hgrn(chunk_hgrn, a, b)


def run_fla_recurrent(a: Tensor, b: Tensor) -> Tensor:
    """fla's HGRN, one step after another in one kernel."""
    from fla.ops.hgrn import fused_recurrent_hgrn

    return run_hgrn(fused_recurrent_hgrn, a, b)


def run_hgrn(run: Callable[[Tensor, Tensor], tuple[Tensor, Tensor | None]], a: Tensor, b: Tensor) -> Tensor:
    """One sequence of B·H units, so that nothing is copied. It wants the logarithm of a, and starts at 0: fla's chunks have no
    gradient of an initial state."""
    T = len(b)
    return run(b.reshape(1, T, -1), a.log().reshape(1, T, -1))[0].view_as(b)


@dataclass(frozen=True)
class Scan:
    """`module`: what has it, of the package to install, both "" for torch's own, which runs anywhere; `positive`: whether it takes
    a > 0 alone."""

    run: Solve
    module: str = ""
    package: str = ""
    positive: bool = False

    def unsupported(self, device: torch.device, dtype: torch.dtype) -> str | None:
        """Why it can't run there in one line, or None."""
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
    "fla_chunk": Scan(run_fla_chunk, "fla.ops.hgrn", "fla-core", positive=True),
    "fla_recurrent": Scan(run_fla_recurrent, "fla.ops.hgrn", "fla-core", positive=True),
}
"""By the names of the backends."""

"""Which schedule runs a plan where: by name, or the best that can."""

import warnings
from functools import cache
from types import ModuleType

import torch

from kernels.derive.plan import Plan
from kernels.schedules.cpu import compiled
from kernels.schedules.persistent.tuning import preferred
from kernels.schedules.stepwise import stepwise

try:
    from kernels.schedules.persistent import persistent as resident
    from kernels.schedules.persistent.occupancy import here
    from kernels.schedules.scan import scan
    from kernels.schedules.stencil import stencil
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    resident = scan = stencil = None  # type: ignore[assignment]

SCHEDULES: dict[str, ModuleType] = {"compiled": compiled, "stepwise": stepwise}
SCHEDULES |= {"resident": resident, "scan": scan, "stencil": stencil} if resident else {}


def names() -> tuple[str, ...]:
    """Return what a layer's backend may be: a schedule that a program has added to SCHEDULES, too."""
    return "auto", "eager", *SCHEDULES


def choose(backend: str, plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> ModuleType | None:
    """The schedule for `backend`, or None for the eager reference: asked for by name, or because nothing else can run.

    Warns once for each reason where a backend that was asked for, or a CPU's default, can't run.
    """
    if backend == "eager":
        return None
    wanted = backend if backend != "auto" else "compiled" if device.type == "cpu" else fastest(plan, dtype, device, B, H)
    reason = SCHEDULES[wanted].unsupported(plan, dtype, device, B, H)
    if reason is None:
        return SCHEDULES[wanted]
    if backend != "auto" or "compiler" in reason:
        _warn(f"the backend {wanted!r} {reason}; {plan.cell.name} runs as the eager reference instead, which is slow")
    return None


def fastest(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str:
    """The schedule to run on a GPU: `scan` wherever it can, which launches once for all steps and waits for nothing, and `stencil`, which
    does nearly so (neither measured on a device); else what `kernels.schedules.persistent.tuning` takes to be fastest, where both others
    can run."""
    for name, schedule in (("scan", scan), ("stencil", stencil)):
        if schedule and schedule.unsupported(plan, dtype, device, B, H) is None:
            return name
    if resident is None or resident.unsupported(plan, dtype, device, B, H):
        return "stepwise"
    return preferred(plan, B, H, dtype, torch.backends.cuda.matmul.allow_tf32, here(device.index or 0))


@cache
def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)

"""Selects the schedule that runs a plan: the backend of that name, or the fastest that can."""

import warnings
from functools import cache
from types import ModuleType

import torch

from kernels.derive.plan import Plan
from kernels.layer import torch_operator
from kernels.schedules.cpu import compiled
from kernels.schedules.newton import newton
from kernels.schedules.persistent.tuning import persistent_or_stepwise
from kernels.schedules.stepwise import stepwise

try:
    from kernels.schedules.persistent import persistent
    from kernels.schedules.persistent.occupancy import usable_chip
    from kernels.schedules.scan import scan
    from kernels.schedules.stencil import stencil
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    persistent = scan = stencil = None  # type: ignore[assignment]

SCHEDULES: dict[str, ModuleType] = {"compiled": compiled, "stepwise": stepwise, "newton": newton}
SCHEDULES |= {"persistent": persistent, "scan": scan, "stencil": stencil} if persistent else {}
DEPRECATED = {"resident": "persistent"}
"""Former names of backends, which work for one version more."""


def backend_names() -> tuple[str, ...]:
    """Returns the names of all backends, including the schedules that a program has added to SCHEDULES."""
    return "auto", "eager", "torch", *SCHEDULES


def resolve_name(backend: str) -> str:
    """Returns the current name of a backend; warns if it is given by a former one."""
    if backend not in DEPRECATED:
        return backend
    present = DEPRECATED[backend]
    warnings.warn(f"the backend {backend!r} is called {present!r} now, and only that from the next version on", FutureWarning, stacklevel=3)
    return present


def select_schedule(backend: str, plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> ModuleType | None:
    """Returns the schedule that runs a plan, None for the eager reference, or torch's own operator for a cell that torch has.

    Warns once for each reason why the backend asked for, or a CPU's default, can't run.

    Args:
        backend: a name of `backend_names()`; "auto" is "compiled" on a CPU and the fastest schedule on a GPU. "torch" is no schedule: it is
            passed here for cells that torch.nn lacks, and gives None.
        B: the batch size.
        H: the hidden size.
    """
    backend = resolve_name(backend)
    if backend == "eager":
        return None
    wanted = backend if backend != "auto" else "compiled" if device.type == "cpu" else fastest_schedule_name(plan, dtype, device, B, H)
    schedule = SCHEDULES.get(wanted)
    reason = schedule.unsupported_reason(plan, dtype, device, B, H) if schedule else torch_operator.unsupported_reason(plan.cell)
    if reason is None:
        return schedule
    if backend != "auto" or device.type == "cpu":
        instead = "by torch's own operator instead" if plan.cell.torch_equivalent else "as the eager reference instead, which is slow"
        _warn(f"the backend {wanted!r} {reason}; {plan.cell.name} runs {instead}")
    return None


def fastest_schedule_name(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str:
    """Returns the name of the schedule to run on a GPU.

    This is `scan` or `stencil` if one of them can run: they need one launch and few or no barriers (neither is measured on a device).
    Otherwise it is the faster of `persistent` and `stepwise` by `kernels.schedules.persistent.tuning`, if both can run; `stepwise` for a
    cell with heads, whose diagonal blocks it multiplies alone: a NaN stays in its head.
    """
    for name, schedule in (("scan", scan), ("stencil", stencil)):
        if schedule and schedule.unsupported_reason(plan, dtype, device, B, H) is None:
            return name
    if persistent is None or plan.cell.heads or persistent.unsupported_reason(plan, dtype, device, B, H):
        return "stepwise"
    return persistent_or_stepwise(plan, B, H, dtype, torch.backends.cuda.matmul.allow_tf32, usable_chip(device.index or 0))


@cache
def _warn(message: str) -> None:
    warnings.warn(message, RuntimeWarning, stacklevel=4)

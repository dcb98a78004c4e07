"""The schedules of kernels/ by the names that backends have here: the one place that maps the two."""

from types import ModuleType

from bench.records.backend_table import KERNEL_NAMES
from kernels.layer.select import SCHEDULES


def kernel_name(backend: str) -> str:
    """Return the name that `kernels.layer.select` has for a backend."""
    return backend if backend in SCHEDULES else KERNEL_NAMES.get(backend, backend)


def find_schedule(backend: str) -> ModuleType | None:
    """Return the schedule of a backend; None for one that isn't a schedule of kernels/."""
    return SCHEDULES.get(kernel_name(backend))

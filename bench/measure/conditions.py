"""How a GPU is while it is timed: clocks, power, temperature, why it holds its clock back, and who else computes on it.

All of it is NVML's, through the package nvidia-ml-py, which may be missing. NVML numbers all GPUs of a machine, CUDA only the
visible ones, in an order of its own: a GPU is found by its UUID. A part of a GPU (MIG) has none of these sensors: clocks,
temperature and reasons are then those of the whole GPU, which its parts share, while power and energy, which its neighbours use
too, are None.
"""

import importlib
import os
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from bench.records import Reading

THROTTLING = {
    0x04: "software power cap", 0x08: "hardware slowdown", 0x10: "sync boost", 0x20: "software thermal slowdown",
    0x40: "hardware thermal slowdown", 0x80: "hardware power brake",
}  # fmt: skip
"""NVML's bits (nvml.h, nvmlClocksEventReasons). Left out is what holds no clock back that the work asks for (0x01, idle), and
what somebody has set (0x02 the applications' clocks, 0x100 the display's)."""

MEGA, MILLI = 1e6, 1e-3


@dataclass(frozen=True)
class Board:
    """A GPU as NVML knows it; `part` says that only a part of it is ours."""

    nvml: Any
    handle: Any
    part: bool

    def ask(self, *questions: str, of: tuple[Any, ...] = ()) -> Any:
        """Return the answer of NVML's first function of these names that works, else None: older drivers and packages lack some."""
        for question in questions:
            try:
                return getattr(self.nvml, question)(self.handle, *of)
            except (AttributeError, self.nvml.NVMLError):
                continue
        return None

    def power(self) -> float | None:
        """Watts, as the driver averages them: over a second, on most."""
        return None if self.part else scale_or_none(self.ask("nvmlDeviceGetPowerUsage"), MILLI)

    def energy(self) -> float | None:
        """Joules since the driver was loaded. The counter moves every 20 to 100 ms."""
        return None if self.part else scale_or_none(self.ask("nvmlDeviceGetTotalEnergyConsumption"), MILLI)


def scale_or_none(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


@cache
def find_board(index: int) -> Board | None:
    """CUDA's device of that index, opened once; None without nvidia-ml-py, or where NVML doesn't know it."""
    try:
        nvml = importlib.import_module("pynvml")
    except ImportError:
        return None
    uuid = torch.cuda.get_device_properties(index).uuid
    try:
        nvml.nvmlInit()
        try:
            handle, part = nvml.nvmlDeviceGetHandleByUUID(f"GPU-{uuid}"), False
        except nvml.NVMLError:
            handle, part = nvml.nvmlDeviceGetHandleByUUID(f"MIG-{uuid}"), True
            handle = nvml.nvmlDeviceGetDeviceHandleFromMigDeviceHandle(handle)
    except (AttributeError, nvml.NVMLError):
        return None
    mode = Board(nvml, handle, part).ask("nvmlDeviceGetMigMode")
    return Board(nvml, handle, part or bool(mode and mode[0]))


def open_board(device: torch.device) -> Board | None:
    if device.type != "cuda":
        return None
    return find_board(torch.cuda.current_device() if device.index is None else device.index)


def read_conditions(device: torch.device) -> Reading | None:
    """How a GPU is now; what it doesn't tell is None. None for a CPU, and without NVML. Five calls of NVML, and never raises."""
    here = open_board(device)
    if here is None:
        return None
    nvml = here.nvml
    reasons = here.ask("nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons") or 0
    return Reading(
        clock=scale_or_none(here.ask("nvmlDeviceGetClockInfo", of=(nvml.NVML_CLOCK_SM,)), MEGA),
        memory_clock=scale_or_none(here.ask("nvmlDeviceGetClockInfo", of=(nvml.NVML_CLOCK_MEM,)), MEGA),
        power=here.power(),
        temperature=here.ask("nvmlDeviceGetTemperature", "nvmlDeviceGetTemperatureV", of=(nvml.NVML_TEMPERATURE_GPU,)),
        throttled=[words for bit, words in THROTTLING.items() if reasons & bit],
    )


def list_other_processes(device: torch.device) -> list[int]:
    """The processes, by number, that compute on the GPU besides this one and the one that started it.

    In a container NVML may number processes as the host does, and not know this one by its own number. One of those it names
    is then taken to be this one. Nobody is named where only a part of the GPU is ours: NVML has those of all parts.
    """
    here = open_board(device)
    if here is None or here.part:
        return []
    found = sorted({process.pid for process in here.ask("nvmlDeviceGetComputeRunningProcesses") or []})
    ours = {os.getpid(), os.getppid()}
    if found and torch.cuda.is_initialized() and os.getpid() not in found:
        found = found[:-1]
    return [pid for pid in found if pid not in ours]

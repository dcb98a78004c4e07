"""Reads the state of a GPU while it is timed: clocks, power, temperature, reasons for throttling, and other processes.

The values come from NVML through the package nvidia-ml-py, which may be missing. NVML numbers all GPUs of a machine, CUDA only the visible
ones and in its own order, so a GPU is found by its UUID. A part of a GPU (MIG) has no sensors of its own: its clocks, temperature and
throttling are those of the whole GPU. Power and energy are None there, because they include the neighbours.
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
"""The bits of nvmlClocksEventReasons (nvml.h) that mean throttling. Left out are idle (0x01) and clocks that a user has set (0x02 for
applications, 0x100 for the display)."""

MEGA, MILLI = 1e6, 1e-3


@dataclass(frozen=True)
class Board:
    """A GPU in NVML. `part` says that this process sees only a part of it (MIG)."""

    nvml: Any
    handle: Any
    part: bool

    def ask(self, *questions: str, of: tuple[Any, ...] = ()) -> Any:
        """Returns the result of the first NVML function among `questions` that works; None if none does, because older drivers and packages
        lack some."""
        for question in questions:
            try:
                return getattr(self.nvml, question)(self.handle, *of)
            except (AttributeError, self.nvml.NVMLError):
                continue
        return None

    def power(self) -> float | None:
        """Returns the power in watts, averaged by the driver (on most GPUs over one second)."""
        return None if self.part else scale_or_none(self.ask("nvmlDeviceGetPowerUsage"), MILLI)

    def energy(self) -> float | None:
        """Returns the joules since the driver was loaded. The counter changes every 20 to 100 ms."""
        return None if self.part else scale_or_none(self.ask("nvmlDeviceGetTotalEnergyConsumption"), MILLI)


def scale_or_none(value: float | None, unit: float) -> float | None:
    return None if value is None else value * unit


@cache
def find_board(index: int) -> Board | None:
    """Returns the GPU with a CUDA index, opened once; None without nvidia-ml-py or if NVML does not know the GPU."""
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
    """Returns the GPU of a torch device; None for a CPU or without NVML."""
    if device.type != "cuda":
        return None
    return find_board(torch.cuda.current_device() if device.index is None else device.index)


def read_conditions(device: torch.device) -> Reading | None:
    """Reads the state of a GPU with five NVML calls. Never raises.

    Returns:
        The state, None for each value that the GPU does not report; None for a CPU or without NVML.
    """
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
    """Returns the numbers of the processes that compute on the GPU, except this process and its parent.

    In a container NVML may use the process numbers of the host. This process is then unknown by its own number, and one of the listed
    processes is assumed to be this one. On a part of a GPU the list is empty, because NVML lists the processes of all parts.
    """
    here = open_board(device)
    if here is None or here.part:
        return []
    found = sorted({process.pid for process in here.ask("nvmlDeviceGetComputeRunningProcesses") or []})
    ours = {os.getpid(), os.getppid()}
    if found and torch.cuda.is_initialized() and os.getpid() not in found:
        found = found[:-1]
    return [pid for pid in found if pid not in ours]

"""Measures the joules of a call with the energy counter of the device.

The counter changes in jumps, up to 100 ms apart. It is read at two of its jumps, with nothing but calls between them. It counts everything
on the device, including idle power and other processes. The counter of a processor (RAPL) excludes its memory.
"""

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch

from bench.measure import conditions

POWERCAP = Path("/sys/class/powercap")
MICRO = 1e-6

BATCH = 0.01
"""Seconds of calls between two readings of the counter."""

PATIENCE = 1.0
"""Seconds after which a counter that has not changed counts as stopped."""

Counter = Callable[[], float | None]
"""Returns joules since an arbitrary moment; None if reading fails."""


def measure_energy(call: Callable[[], object], device: torch.device, seconds: float) -> float | None:
    """Measures the energy of one call.

    Args:
        call: The call; it is repeated.
        device: The device that it runs on.
        seconds: The least time to measure. Below half a second the delay of the counter is an error of some percent.

    Returns:
        Joules per call, or None if the device has no counter.
    """
    count = find_counter(device)
    if count is None:
        return None
    marks = watch_counter(partial(repeat_call, call, device), count)
    start = next(marks, None)
    if start is None:
        return None
    for now, energy, calls in marks:
        if now - start[0] >= seconds:
            return (energy - start[1]) / (calls - start[2])
    return None


def watch_counter(run: Callable[[int], None], count: Counter) -> Iterator[tuple[float, float, int]]:
    """Runs calls and yields, at each jump of the counter, the time in seconds, the counter in joules and the number of calls so far. Ends
    when the counter stops."""
    run(1)  # what is compiled or allocated once says nothing of a batch
    begin = time.perf_counter()
    run(1)
    batch = max(1, int(BATCH / max(time.perf_counter() - begin, MICRO)))
    calls, last, moved = 0, count(), time.perf_counter()
    while time.perf_counter() - moved < PATIENCE:
        run(batch)
        calls += batch
        energy = count()
        if energy is not None and energy != last:
            last, moved = energy, time.perf_counter()
            yield moved, energy, calls


def repeat_call(call: Callable[[], object], device: torch.device, times: int) -> None:
    for _ in range(times):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def find_counter(device: torch.device) -> Counter | None:
    """Returns the energy counter of a device: NVML on a GPU, RAPL on a Linux processor if its files are readable (usually only by root);
    else None."""
    if device.type == "cuda":
        board = conditions.open_board(device)
        return board.energy if board and board.energy() is not None else None
    try:
        packages = [zone for zone in sorted(POWERCAP.glob("intel-rapl:*")) if (zone / "name").read_text().startswith("package")]
        return Packages(packages) if packages else None
    except (OSError, ValueError):
        return None


class Packages:
    """Counts the joules that the processor packages have used since this object was created. Each RAPL file restarts at 0 after its
    maximum."""

    def __init__(self, zones: list[Path]):
        self.zones = zones
        self.ranges = [read_number(zone / "max_energy_range_uj") for zone in zones]
        self.last = [read_number(zone / "energy_uj") for zone in zones]
        self.total = 0

    def __call__(self) -> float:
        now = [read_number(zone / "energy_uj") for zone in self.zones]
        for before, after, most in zip(self.last, now, self.ranges, strict=True):
            self.total += after - before if after >= before else after - before + most + 1
        self.last = now
        return self.total * MICRO


def read_number(path: Path) -> int:
    return int(path.read_text(encoding="utf-8"))

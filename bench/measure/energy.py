"""Joules of a call: what the device's own counter says of many calls in a row.

Such a counter moves in jumps, up to 100 ms apart, so it is read at two of its jumps, with nothing but calls in between. It counts
everything on the device: idle power, and whoever else computes there. A processor's (RAPL) is without its memory.
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
"""Seconds of calls between two looks at the counter."""

PATIENCE = 1.0
"""Seconds after which a counter that hasn't moved is taken to stand still."""

Counter = Callable[[], float | None]
"""Joules since some moment, None where it fails."""


def measure_energy(call: Callable[[], object], device: torch.device, seconds: float) -> float | None:
    """Energy of one call, from as many as take `seconds` and, at both ends, up to the counter's next jump. None where the device
    doesn't count it. Less than half a second is not worth counting: what a jump is late by is then some percent of it."""
    count = find_counter(device)
    if count is None:
        return None
    marks = counter_jumps(partial(repeat, call, device), count)
    start = next(marks, None)
    if start is None:
        return None
    for now, energy, calls in marks:
        if now - start[0] >= seconds:
            return (energy - start[1]) / (calls - start[2])
    return None


def counter_jumps(run: Callable[[int], None], count: Counter) -> Iterator[tuple[float, float, int]]:
    """Run calls on and on: at each jump of the counter the time, what it says, and the calls so far. Ends where it stands still."""
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


def repeat(call: Callable[[], object], device: torch.device, times: int) -> None:
    for _ in range(times):
        call()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def find_counter(device: torch.device) -> Counter | None:
    """Return the energy counter of a device: NVML on a GPU, RAPL on a Linux processor whose files may be read (by root alone, mostly)."""
    if device.type == "cuda":
        board = conditions.open_board(device)
        return board.energy if board and board.energy() is not None else None
    try:
        packages = [zone for zone in sorted(POWERCAP.glob("intel-rapl:*")) if (zone / "name").read_text().startswith("package")]
        return Packages(packages) if packages else None
    except (OSError, ValueError):
        return None


class Packages:
    """Joules that the processor's packages have used since this was made. Each file starts again at 0 past its own maximum."""

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
    return int(path.read_text())

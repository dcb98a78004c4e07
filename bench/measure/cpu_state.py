"""Reads the state of the CPUs before a run: what other processes use of them, and what sets their clocks."""

import os
import time
from pathlib import Path
from typing import Any

SYSTEM = Path("/sys/devices/system/cpu")
STAT = Path("/proc/stat")
SECONDS = 0.25
"""The time over which the load is measured."""


def read_cpu_state() -> dict[str, Any]:
    """Returns the fields of an `Environment` that describe the CPUs. The caller's own processes should be idle meanwhile."""
    return {
        "cpus": os.cpu_count(), "load": measure_load(), "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "governor": read_governor(), "turbo": read_turbo(), "smt": read_switch(SYSTEM / "smt" / "active"),
    }  # fmt: skip


def measure_load() -> float | None:
    """Returns the number of CPUs that other processes keep busy, or None if the system doesn't say."""
    before, own, began = read_busy_seconds(), time.process_time(), time.perf_counter()
    if before is None:
        return None
    time.sleep(SECONDS)
    after, taken = read_busy_seconds(), time.perf_counter() - began
    return None if after is None else round(max(0.0, after - before - (time.process_time() - own)) / taken, 2)


def read_busy_seconds() -> float | None:
    """Returns the seconds that all CPUs together have been busy since the system started. Time that the host of a virtual machine took
    away counts; waiting for a disk doesn't."""
    try:
        user, nice, system, _, _, *interrupts = map(int, STAT.read_text(encoding="utf-8").split("\n", 1)[0].split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + sum(interrupts)) / os.sysconf("SC_CLK_TCK")


def read_governor() -> str:
    """Returns the governors of all CPUs, each once, as "performance"."""
    return ", ".join(sorted({found for path in SYSTEM.glob("cpufreq/policy*/scaling_governor") if (found := read_word(path))}))


def read_turbo() -> str:
    """Returns "on", "off", or "" if unknown. Intel's driver has a switch that means off."""
    off = read_switch(SYSTEM / "intel_pstate" / "no_turbo")
    return {"on": "off", "off": "on"}.get(off) or read_switch(SYSTEM / "cpufreq" / "boost")


def read_switch(path: Path) -> str:
    return {"1": "on", "0": "off"}.get(read_word(path), "")


def read_word(path: Path) -> str:
    """Returns the content of a file of the system, or ""."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError:
        return ""

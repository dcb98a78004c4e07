"""Reads the environment of a run: the device, the versions of libraries, and the peak rates of the device."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from bench.measure import conditions, device_constants
from bench.measure.cpu_state import read_cpu_state
from bench.measure.pararnn_peer import PACKAGE
from bench.measure.scan_peers import SCANS
from bench.measure.source_commit import read_recorded_commit
from bench.records import Environment
from bench.records.backend_table import ROWS
from kernels.schedules.cpu.library import compiler


def read_environment(device: torch.device, rates: bool = True, quick: bool = False) -> Environment:
    """Reads the environment.

    Args:
        device: The device of the run.
        rates: Whether to measure the peak rates of the device, which takes seconds.
        quick: Whether to measure them once and with smaller sizes, which takes less than one.
    """
    cuda = device.type == "cuda"
    commit, dirty = find_commit()
    return Environment(
        device=torch.cuda.get_device_name(device) if cuda else find_processor(),
        device_kind="cuda" if cuda else "cpu",
        processor=find_processor(), cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(), memory_bytes=count_memory(), system=platform.platform(aliased=True, terse=True),
        python=platform.python_version(), torch=torch.__version__, triton=find_version("triton"),
        cuda=torch.version.cuda or "", cudnn=str(torch.backends.cudnn.version() or "") if cuda else "",
        driver=find_driver_version() if cuda else "", compiler=find_compiler_version(), torchrecurrent=find_version("torchrecurrent"),
        packages={name: found for name in list_peer_packages() if (found := find_version(name))},
        commit=commit, dirty=dirty,
        other_processes=len(conditions.list_other_processes(device)), **read_cpu_state(),
        constants=device_constants.measure_constants(device, quick) if rates else None,
    )  # fmt: skip


def list_peer_packages() -> list[str]:
    """Returns the packages of optional peers, but for torchrecurrent."""
    return sorted({scan.package for scan in SCANS.values() if scan.package}) + [row.package for row in ROWS if row.package] + [PACKAGE]


def find_version(package: str) -> str:
    """Returns the version of an installed package, or ""."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def find_processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def count_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def find_compiler_version() -> str:
    found = compiler()
    return run_command([found, "--version"]).partition("\n")[0] if found else ""


def find_driver_version() -> str:
    return run_command(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).partition("\n")[0]


def run_git(*arguments: str) -> str:
    return run_command(["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments])


def find_commit() -> tuple[str, bool]:
    """Returns the commit of the working tree and whether it has uncommitted changes. A copy without .git takes both from its bundle."""
    commit = run_git("rev-parse", "HEAD")
    return (commit, bool(run_git("status", "--porcelain", "--untracked-files=no"))) if commit else read_recorded_commit()


def run_command(command: list[str]) -> str:
    """Returns the output of a command, or "" if it can't be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

"""The environment of a run: the device, the libraries and their versions, and the device's best rates."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from bench.measure import conditions, device_constants
from bench.measure.scan_peers import SCANS
from bench.measure.source_commit import recorded_commit
from bench.records import Environment
from kernels.schedules.cpu.library import compiler


def read_environment(device: torch.device, rates: bool = True) -> Environment:
    """Read the environment, with the best `rates` of the device, which take seconds, for a run that times something."""
    cuda = device.type == "cuda"
    commit, dirty = working_commit()
    return Environment(
        device=torch.cuda.get_device_name(device) if cuda else processor(),
        device_kind="cuda" if cuda else "cpu",
        processor=processor(), cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(), memory_bytes=total_memory(), system=platform.platform(aliased=True, terse=True),
        python=platform.python_version(), torch=torch.__version__, triton=package_version("triton"),
        cuda=torch.version.cuda or "", cudnn=str(torch.backends.cudnn.version() or "") if cuda else "",
        driver=driver_version() if cuda else "", compiler=compiler_version(), torchrecurrent=package_version("torchrecurrent"),
        packages={name: found for name in sorted({scan.package for scan in SCANS.values()}) if name and (found := package_version(name))},
        commit=commit, dirty=dirty,
        other_processes=len(conditions.list_other_processes(device)),
        constants=device_constants.measure_constants(device) if rates else None,
    )  # fmt: skip


def package_version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def total_memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def compiler_version() -> str:
    found = compiler()
    return command_output([found, "--version"]).partition("\n")[0] if found else ""


def driver_version() -> str:
    return command_output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).partition("\n")[0]


def run_git(*arguments: str) -> str:
    return command_output(["git", "--no-optional-locks", "-C", str(Path(__file__).parent), *arguments])


def working_commit() -> tuple[str, bool]:
    """The commit of this working tree, and whether it has changes; of a copy without its .git, as the file of its bundle has them."""
    commit = run_git("rev-parse", "HEAD")
    return (commit, bool(run_git("status", "--porcelain", "--untracked-files=no"))) if commit else recorded_commit()


def command_output(command: list[str]) -> str:
    """Return what a command prints, or "" if it can't be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

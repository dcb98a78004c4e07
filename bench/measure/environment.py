"""Where a run runs: the device, the libraries and their versions, and what the device does at its best."""

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

from bench.measure import conditions, device_constants
from bench.measure.scan_peers import SCANS
from bench.measure.source_commit import said
from bench.records import Environment
from kernels.schedules.cpu.library import compiler


def capture(device: torch.device, rates: bool = True) -> Environment:
    """With the `rates` that the device reaches, which takes seconds, for a run that times something."""
    cuda = device.type == "cuda"
    commit, dirty = revision()
    return Environment(
        device=torch.cuda.get_device_name(device) if cuda else processor(),
        device_kind="cuda" if cuda else "cpu",
        processor=processor(), cores=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        threads=torch.get_num_threads(), memory_bytes=memory(), system=platform.platform(aliased=True, terse=True),
        python=platform.python_version(), torch=torch.__version__, triton=version("triton"),
        cuda=torch.version.cuda or "", cudnn=str(torch.backends.cudnn.version() or "") if cuda else "",
        driver=driver() if cuda else "", compiler=compiler_version(), torchrecurrent=version("torchrecurrent"),
        packages={name: version(name) for name in sorted({scan.package for scan in SCANS.values()}) if name and version(name)},
        commit=commit, dirty=dirty,
        other_processes=len(conditions.others(device)), constants=device_constants.measure(device) if rates else None,
    )  # fmt: skip


def version(package: str) -> str:
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


def memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):
        return 0


def compiler_version() -> str:
    found = compiler()
    return output([found, "--version"]).partition("\n")[0] if found else ""


def driver() -> str:
    return output(["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]).partition("\n")[0]


def git(*arguments: str) -> str:
    return output(["git", "-C", str(Path(__file__).parent), *arguments])


def revision() -> tuple[str, bool]:
    """The commit of this working tree, and whether it has changes; of a copy without its .git, as the file of its bundle has them."""
    commit = git("rev-parse", "HEAD")
    return (commit, bool(git("status", "--porcelain", "--untracked-files=no"))) if commit else said()


def output(command: list[str]) -> str:
    """What a command prints, or "" if it can't be run or fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""

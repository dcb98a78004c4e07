"""Locks a device, so that one run at a time measures on it; two runs would slow down each other."""

import contextlib
import datetime
import os
import re
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import UsageError
from bench.harness.progress import print_line

FOLDER = "RECURRENT_BENCH_LOCKS"
"""The environment variable that moves the lock files; tests, which run side by side, set it."""
POLL_SECONDS = 1.0


@contextlib.contextmanager
def lock_device(device: str, wait: bool = False) -> Iterator[None]:
    """Holds a lock on a device while the context lasts. No other run of this user on this machine measures on it meanwhile, whatever its
    TMPDIR. The system releases the lock of a process that died.

    Args:
        device: "cpu", or "cuda" for the first visible GPU.
        wait: Wait until another run has released the lock, and say so once.

    Raises:
        UsageError: Another run holds the lock, or the lock file can't be written.
    """
    path, told = find_lock(device), ""
    lock, holder = FileLock(path, timeout=0), path.with_suffix(".holder")
    try:
        while not lock.is_locked:
            try:
                lock.acquire()
            except Timeout:
                said = f"another run is measuring on this device ({read_holder(holder)})"
                if not wait:
                    raise UsageError(f"{said}: wait until it is done, which --wait does (the lock is {path})") from None
                if said != told:
                    print_line(f"waiting: {said}")
                told = said
                time.sleep(POLL_SECONDS)
        write_holder(holder)
    except OSError as error:
        raise UsageError(f"{path} can't be locked ({error.strerror}): make its folder writable, or name another in {FOLDER}") from None
    try:
        yield
    finally:
        lock.release()


def find_lock(device: str) -> Path:
    """Returns the lock file of a device for this user. It is in /tmp, which all of a machine's processes share, whatever their TMPDIR."""
    first = identify_gpu() if device == "cuda" else ""
    shared = Path("/tmp") if Path("/tmp").is_dir() else Path(tempfile.gettempdir())
    user = os.getuid() if hasattr(os, "getuid") else os.environ.get("USERNAME", "")
    name = re.sub(r"[^A-Za-z0-9-]+", "-", f"recurrent-bench-{user}-{device}{first}")
    return Path(os.environ.get(FOLDER) or shared) / f"{name}.lock"


def identify_gpu() -> str:
    """Returns the driver's UUID of the GPU in use, the same whether CUDA_VISIBLE_DEVICES has its number or its UUID. Where the driver tells
    none, returns the first word of CUDA_VISIBLE_DEVICES."""
    import torch

    with contextlib.suppress(AttributeError, AssertionError, RuntimeError):
        return f"-{torch.cuda.get_device_properties(torch.cuda.current_device()).uuid}"
    return (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0].strip()


def write_holder(path: Path) -> None:
    """Writes this process and the time beside a lock that it holds. A link that another user planted there is not followed."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | getattr(os, "O_NOFOLLOW", 0)
    with os.fdopen(os.open(path, flags, 0o644), "w", encoding="utf-8") as stream:
        stream.write(f"process {os.getpid()}, since {datetime.datetime.now():%Y-%m-%d %H:%M:%S}")


def read_holder(path: Path) -> str:
    """Returns the process that holds a lock and since when."""
    try:
        return path.read_text(encoding="utf-8") or "it has just begun"
    except OSError:
        return "it has just begun"

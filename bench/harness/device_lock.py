"""Locks a device, so that one run at a time measures on it; two runs would slow down each other."""

import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from bench.errors import UsageError


@contextmanager
def lock_device(device: str) -> Iterator[None]:
    """Holds a lock on a device while the context lasts. No other run on this machine, by any user, measures on it. The system releases
    the lock of a process that died.

    Args:
        device: "cpu", or "cuda" for the first visible GPU.

    Raises:
        UsageError: Another run holds the lock, or the lock file can't be written.
    """
    first = (os.environ.get("CUDA_VISIBLE_DEVICES") or "0").split(",")[0].strip() if device == "cuda" else ""
    name = re.sub(r"[^A-Za-z0-9-]+", "-", f"recurrent-bench-{device}{first}")
    lock = FileLock(Path(tempfile.gettempdir()) / f"{name}.lock", timeout=0, mode=0o666)
    try:
        lock.acquire()
    except Timeout:
        raise UsageError(f"another run is measuring on this device ({lock.lock_file} is locked): wait until it is done") from None
    except OSError as error:
        raise UsageError(
            f"{lock.lock_file} can't be locked ({error.strerror}): runs need a folder for temporary files that can be written"
        ) from None
    try:
        yield
    finally:
        lock.release()

"""A call that never ends: a kernel whose programs wait for each other for ever can't be stopped, only left behind."""

import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench.measure.run import Runner

LIMIT = 240.0
"""Seconds that a case may take to be built and checked, or to be called once."""


@contextmanager
def watch(runner: Runner, limit: float = LIMIT) -> Iterator[None]:
    """Within, a case that takes longer is recorded as `timeout` and the process ends, with exit code 1: a resumed run goes on without
    that case. On a GPU alone; a slow processor is only slow."""
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(min(1.0, limit)):
            case, since = runner.current
            if case is not None and time.monotonic() - since > limit:
                runner.emit(runner.made(case, "timeout", f"took longer than {limit:.0f} s"))
                os._exit(1)

    thread = threading.Thread(target=look, daemon=True)
    if runner.device.type == "cuda":
        thread.start()
    try:
        yield
    finally:
        stop.set()

"""Processes that compile kernels in parallel."""

import multiprocessing
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager


@contextmanager
def make_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Yields a pool of processes that ends with the context, or with this process: what is being compiled then is given up."""
    others = {*multiprocessing.active_children()}
    workers = ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=watch_parent)
    try:
        yield workers
    finally:
        workers.shutdown(wait=False, cancel_futures=True)
        for process in {*multiprocessing.active_children()} - others:
            process.kill()


def watch_parent() -> None:
    """Ends a process of the pool when its parent ends; otherwise it would wait for work forever."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()

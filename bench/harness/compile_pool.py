"""Processes that compile kernels in parallel."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager

from bench.measure.process_start import end_with_parent


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
    """Ends a process of the pool when its parent ends."""
    end_with_parent()

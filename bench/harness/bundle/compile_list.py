"""Compile a list of kernels for a GPU that isn't here, by as many processes as there are cores, into one Triton cache."""

import multiprocessing
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.bundle.kernel_list import KernelWork

CACHE = Path("/tmp/recurrent-bench-cache")
"""The cache's folder on every machine: Triton finds nothing in one that was moved, since the files in it name it."""

EVERY = 10.0
"""Seconds between two words on how far it is, at least."""

Tell = Callable[[str], None]


@dataclass
class CompiledList:
    """The results of compiling a list: by piece of work the `keys` of its kernels; all `folders` of the cache that it took, launchers too;
    how many of those were `made` now; and what went wrong, by piece of work."""

    keys: dict[KernelWork, list[str]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    made: int = 0
    failed: dict[KernelWork, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of one piece of work, as another process returns it."""

    keys: list[str]
    folders: set[str]
    made: int
    failed: str


def compile_works(
    works: Sequence[KernelWork], capability: int, cache: Path, processes: int, libcuda: str | None, tell: Tell
) -> CompiledList:
    """Compile all of it. `libcuda` is the folder of the library that launchers are linked to; None makes no launchers."""
    found, start = CompiledList(), time.monotonic()
    last = start
    with set_environment(cache), make_pool(processes) as workers:
        waiting = {workers.submit(compile_work, work, capability, libcuda): work for work in works}
        for number, done in enumerate(as_completed(waiting), 1):
            work, outcome = waiting[done], done.result()
            found.keys[work] = outcome.keys
            found.folders |= outcome.folders
            found.made += outcome.made
            if outcome.failed:
                found.failed[work] = outcome.failed
                tell(f"FAILED: {work}: {outcome.failed}")
            if (now := time.monotonic()) > last + EVERY or number == len(works):
                last = now
                tell(f"{number} of {len(works)} done in {now - start:.0f} s, {found.made} compiled: {work}")
    found.keys = {work: found.keys[work] for work in works}
    return found


@contextmanager
def set_environment(cache: Path) -> Iterator[None]:
    """Within, processes that are started have Triton compile into `cache`, which gets no texts but those that it needs."""
    ours = {"TRITON_CACHE_DIR": str(cache), "TRITON_STORE_BINARY_ONLY": "1", "TRITON_INTERPRET": "0"}
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def make_pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn"), initializer=watch_parent) as workers:
        try:
            yield workers
        finally:
            workers.shutdown(wait=False, cancel_futures=True)


def watch_parent() -> None:
    """End a process of the pool together with the one that started it, which would leave it waiting for work."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def leave() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=leave, daemon=True).start()


def compile_work(work: KernelWork, capability: int, libcuda: str | None) -> Outcome:
    """Compile a piece of work and its launchers in a process of the pool. Returns errors instead of raising them."""
    import torch

    from bench.harness.bundle import cache_watch, launchers
    from bench.harness.bundle.compile_launches import rehearse

    torch.set_num_threads(1)
    kernels, failed = [], ""
    with cache_watch.watch_cache() as seen:
        try:
            kernels = rehearse(work, capability)
            if libcuda is not None:
                launchers.build_launchers(kernels, libcuda)
        except Exception as error:
            failed = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Outcome(list(dict.fromkeys(kernel.hash for kernel in kernels)), seen.folders, len(seen.made), failed)

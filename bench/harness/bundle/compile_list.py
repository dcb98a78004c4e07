"""Compiles a list of kernels for a GPU that isn't here, in parallel processes, into one Triton cache."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import as_completed
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from bench.harness.bundle.kernel_list import KernelWork
from bench.harness.compile_pool import make_pool

CACHE = Path("/tmp/recurrent-bench-cache")
"""The folder of the cache on every machine. Its files contain its path, so Triton finds nothing in a cache that was moved."""

EVERY = 10.0
"""The least number of seconds between two lines of progress."""

Tell = Callable[[str], None]


@dataclass
class CompiledList:
    """The results of compiling a list.

    Attributes:
        keys: The cache keys of the kernels of each piece of work.
        folders: The cache folders of all kernels, and of their launchers.
        made: The number of folders written now.
        failed: The error of each piece of work that failed.
    """

    keys: dict[KernelWork, list[str]] = field(default_factory=dict)
    folders: set[str] = field(default_factory=set)
    made: int = 0
    failed: dict[KernelWork, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """The result of one piece of work, as another process returns it; the fields are those of CompiledList."""

    keys: list[str]
    folders: set[str]
    made: int
    failed: str


def compile_works(
    works: Sequence[KernelWork], capability: int, cache: Path, processes: int, libcuda: str | None, tell: Tell
) -> CompiledList:
    """Compiles all pieces of work in parallel processes.

    Args:
        works: The pieces of work.
        capability: The compute capability of the GPU to compile for.
        cache: The folder of Triton's cache.
        processes: The number of processes.
        libcuda: The folder of the library that launchers are linked to, "" for the driver's; None to make no launchers.
        tell: Called with lines of progress and of errors.
    """
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
    """Makes processes that start while the context lasts compile into `cache`, without intermediate files as text."""
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


def compile_work(work: KernelWork, capability: int, libcuda: str | None) -> Outcome:
    """Compiles a piece of work and its launchers in a process of the pool. Errors are returned, not raised."""
    import torch

    from bench.harness.bundle import cache_watch, launchers
    from bench.harness.bundle.compile_launches import compile_kernels

    torch.set_num_threads(1)
    kernels, failed = [], ""
    with cache_watch.watch_cache() as seen:
        try:
            kernels = compile_kernels(work, capability)
            if libcuda is not None:
                launchers.build_launchers(kernels, libcuda)
        except Exception as error:
            failed = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return Outcome(list(dict.fromkeys(kernel.hash for kernel in kernels)), seen.folders, len(seen.made), failed)

"""Triton's cache on disk, watched: which of its folders are asked for, and which are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from triton import knobs
from triton.runtime.cache import FileCacheManager


@dataclass
class CacheUse:
    """Names of the cache's folders: all that were asked for, and those that something was written to."""

    folders: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


_seen: list[CacheUse] = []


class WatchedCache(FileCacheManager):  # type: ignore[misc]
    def __init__(self, key: str, *arguments: Any, **options: Any):
        super().__init__(key, *arguments, **options)
        for seen in _seen:
            seen.folders.add(key)

    def put(self, data: Any, filename: str, binary: bool = True) -> str:
        for seen in _seen:
            seen.made.add(self.key)
        return super().put(data, filename, binary)


@contextmanager
def watch_cache() -> Iterator[CacheUse]:
    """Within, Triton's cache is watched."""
    before = knobs.cache.manager_class
    knobs.cache.manager_class = WatchedCache
    _seen.append(CacheUse())
    try:
        yield _seen[-1]
    finally:
        _seen.pop()
        knobs.cache.manager_class = before

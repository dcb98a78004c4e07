"""Records which folders of Triton's disk cache are requested, and which are written."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from triton import knobs
from triton.runtime.cache import FileCacheManager


@dataclass
class CacheUse:
    """The use of Triton's cache.

    Attributes:
        folders: The names of all requested folders.
        made: The names of the folders that were written.
    """

    folders: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


_seen: list[CacheUse] = []


class WatchedCache(FileCacheManager):  # type: ignore[misc]
    """Triton's cache manager, which also adds the folder to every active CacheUse."""

    def __init__(self, key: str, *arguments: Any, **options: Any):
        super().__init__(key, *arguments, **options)
        for seen in _seen:
            seen.folders.add(key)

    def put(self, data: Any, filename: str, binary: bool = True) -> str:
        """Writes a file to the folder, which then counts as written."""
        for seen in _seen:
            seen.made.add(self.key)
        return super().put(data, filename, binary)


@contextmanager
def watch_cache() -> Iterator[CacheUse]:
    """Records the use of Triton's cache while the context lasts.

    Yields:
        The record, which is updated as the cache is used.
    """
    before = knobs.cache.manager_class
    knobs.cache.manager_class = WatchedCache
    _seen.append(CacheUse())
    try:
        yield _seen[-1]
    finally:
        _seen.pop()
        knobs.cache.manager_class = before

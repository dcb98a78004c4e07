"""Counts seconds by activity."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    """Counts seconds by activity; each second counts for one activity."""

    def __init__(self) -> None:
        self.activity, self.since = "", 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time_activity(self, activity: str) -> Iterator[None]:
        """Counts the time inside the context for an activity, and not for the activity around it."""
        outer = self.activity
        self.switch(activity)
        try:
            yield
        finally:
            self.switch(outer)

    def switch(self, activity: str) -> None:
        now = time.perf_counter()
        if self.activity:
            self.seconds[self.activity] = self.seconds.get(self.activity, 0.0) + now - self.since
        self.activity, self.since = activity, now

    def take_seconds(self) -> dict[str, float]:
        """Returns the seconds by activity since the last call."""
        found, self.seconds = self.seconds, {}
        return found

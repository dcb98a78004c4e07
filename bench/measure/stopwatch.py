"""A stopwatch of activities: seconds by activity, each counted once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    def __init__(self) -> None:
        self.activity, self.since = "", 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def time_activity(self, activity: str) -> Iterator[None]:
        """Count the time within as that activity, and not as the one around it."""
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
        """Seconds by activity since this was last asked."""
        found, self.seconds = self.seconds, {}
        return found

"""Where the time goes: seconds by activity, each counted once."""

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Stopwatch:
    def __init__(self) -> None:
        self.activity, self.since = "", 0.0
        self.seconds: dict[str, float] = {}

    @contextmanager
    def on(self, activity: str) -> Iterator[None]:
        """What happens within is that activity, and not the one around it."""
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

    def taken(self) -> dict[str, float]:
        """Seconds by activity since this was last asked."""
        found, self.seconds = self.seconds, {}
        return found

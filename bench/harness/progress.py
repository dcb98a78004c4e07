"""Shows progress on stderr while a run measures; stdout is for data."""

import math
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def print_line(words: str) -> None:
    """Prints a line on stderr at once."""
    print(words, file=sys.stderr, flush=True)


LOG_SECONDS = 2.0
"""The least time between two lines of progress in a log."""


@contextmanager
def show_progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Shows progress while the context lasts: a bar on a terminal; otherwise, or without rich, lines for a log.

    The bar is redrawn only when it is updated, not by a timer: another process may be timing.

    Args:
        total: The number of pieces of work.

    Yields:
        A function of what runs now ("" if unchanged) and the number of pieces finished since the last update.
    """
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    except ImportError:
        yield log_progress(total)
        return
    if not sys.stderr.isatty():
        yield log_progress(total)
        return
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), BarColumn(20), *numbers, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("reading the machine", total=total)

        def tell(what: str, finished: int) -> None:
            bar.update(task, description=what or None, advance=finished, refresh=True)

        yield tell


def log_progress(total: int) -> Callable[[str, int], None]:
    """Returns a function like that of `show_progress`, which prints a line when something new runs, at most one in LOG_SECONDS, and one for
    the last piece."""
    began = time.monotonic()
    done, said, last = 0, "", -math.inf

    def tell(what: str, finished: int) -> None:
        nonlocal done, said, last
        done, now = done + finished, time.monotonic()
        if what and what != said and (now - last >= LOG_SECONDS or done >= total):
            minutes, seconds = divmod(int(now - began), 60)
            print_line(f"{done} of {total}, {minutes}:{seconds:02}: {what}")
            said, last = what, now

    return tell

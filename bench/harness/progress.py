"""Progress on stderr while a run measures; stdout is for data."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def print_line(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def show_progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Shows what runs now: as a bar or, without rich, a line for each piece of work. It moves when it is told something, be it "" for
    nothing new, and not by itself: a processor may be timing."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    except ImportError:
        yield lambda what, finished: print_line(what) if finished else None
        return
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), BarColumn(20), *numbers, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("reading the machine", total=total)

        def tell(what: str, finished: int) -> None:
            bar.update(task, description=what or None, advance=finished, refresh=True)

        yield tell

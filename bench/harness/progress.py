"""Shows progress on stderr while a run measures; stdout is for data."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager


def print_line(words: str) -> None:
    """Prints a line on stderr at once."""
    print(words, file=sys.stderr, flush=True)


@contextmanager
def show_progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Shows a progress bar while the context lasts; without rich, prints a line for each finished piece of work.

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
        yield lambda what, finished: print_line(what) if finished else None
        return
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), BarColumn(20), *numbers, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True, auto_refresh=False) as bar:
        task = bar.add_task("reading the machine", total=total)

        def tell(what: str, finished: int) -> None:
            bar.update(task, description=what or None, advance=finished, refresh=True)

        yield tell

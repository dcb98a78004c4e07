"""Renders the growth of a signal at each start of a cell side by side: the default, an open gate, a critical point."""

from collections.abc import Callable, Mapping, Sequence

from bench.analysis.mean_ci import mean_ci
from bench.render.table import CELL, Column, Table

Slopes = Mapping[tuple[str, str], Sequence[float | None]]
"""The slopes of all seeds in nats per step, by cell and initialisation."""


def make_start_table(title: str, slopes: Slopes, show: Callable[..., str]) -> Table:
    """Returns the table of slopes with a column for each initialisation; without rows if there is only one.

    Args:
        title: The title.
        slopes: The slopes.
        show: Formats a mean with its interval.
    """
    inits = list(dict.fromkeys(init for _, init in slopes))
    cells = list(dict.fromkeys(cell for cell, _ in slopes)) if len(inits) > 1 else []
    known = {key: mean_ci(values) for key, found in slopes.items() if (values := [value for value in found if value is not None])}
    columns = [CELL, *(Column(init, "growth", "nats_per_step", show, at=init) for init in inits)]
    caption = "Nats per step. A tuned start is compared with tuned starts alone: a headline ranks the cells of one column."
    return Table(
        title, columns, [[cell, *(known.get((cell, init)) for init in inits)] for cell in cells], caption, "initialisation", level=3
    )

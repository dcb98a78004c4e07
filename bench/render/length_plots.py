"""Time steps per second and memory over T, as pictures."""

from collections.abc import Callable, Sequence
from pathlib import Path

import matplotlib

from bench.analysis.summary import timesteps_per_second
from bench.records import CaseRecord, Records
from bench.render.case_grid import Grid, build_grids
from bench.render.formatting import MIB, describe_size, format_number
from bench.render.plots import STYLE, VENDOR_GRU, Panel, Point, panels

Value = Callable[[CaseRecord], float | None]


def draw(records: Records, folder: Path) -> list[Path]:
    """Write throughput.svg and memory.svg of the first training in which all cases have one size."""
    shown = [grid for grid in build_grids(records.cases) if is_training(grid)][:1]
    written = []
    for grid in shown:
        title = f"training with the input product, {describe_size(grid.common)}"
        written += over_lengths(grid, timesteps_per_second, "/s", f"Time steps per second, {title}", folder / "throughput.svg")
        written += over_lengths(grid, peak, " MiB", f"Peak memory over the baseline in MiB (2^20 bytes), {title}", folder / "memory.svg")
    return written


def is_training(grid: Grid) -> bool:
    return grid.common.mode == "training" and grid.common.input_product and not grid.has_several_sizes


def peak(record: CaseRecord) -> float | None:
    return record.memory.peak / MIB if record.memory and record.memory.peak else None


def over_lengths(grid: Grid, value: Value, unit: str, title: str, path: Path) -> list[Path]:
    """Draw a panel for each cell, a line for each backend, and torch.nn's GRU in grey where it has no such cell."""
    found = [Panel(cell, lines) for cell in grid.cells if (lines := curves(grid, cell, value, unit))]
    with matplotlib.rc_context(STYLE):
        return panels(found, title, path, "T", grid.lengths)


def curves(grid: Grid, cell: str, value: Value, unit: str) -> dict[str, list[Point]]:
    """Return the values of a cell over T by backend; nothing where torch.nn's GRU alone has any."""
    found: dict[str, list[Point]] = {}
    for row in (row for row in grid.rows if row.cell == cell):
        gru = grid.peers(row).width
        for name, record in {**({VENDOR_GRU: gru} if gru else {}), **grid.timed_records(row)}.items():
            known = value(record)
            if known is not None:
                found.setdefault(name, []).append(Point(row.T, known, f"{cell}, {name}, T={row.T}: {format_number(known)}{unit}"))
    return found if set(found) - {VENDOR_GRU} else {}


def draw_cell(cell: str, runs: Sequence[tuple[str, Grid]], path: Path) -> list[Path]:
    """Draw the time steps per second of a cell in training, a panel for each run, of which the day is known."""
    found, lengths = [], set[int]()
    for day, grid in runs:
        if cell in grid.cells and is_training(grid) and (lines := curves(grid, cell, timesteps_per_second, "/s")):
            found.append(Panel(f"{day}, {describe_size(grid.common)}", lines))
            lengths |= set(grid.lengths)
    with matplotlib.rc_context(STYLE):
        return panels(found, f"Time steps per second of {cell} in training, a panel for each run", path, "T", sorted(lengths))

"""Draws time steps per second and memory over T."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.analysis.summary import timesteps_per_second
from bench.records import CaseRecord, Records
from bench.render.case_grid import Grid, build_grids
from bench.render.formatting import MIB, describe_size, format_number
from bench.render.plots import VENDOR_GRU, Panel, Point, draw_panels

Value = Callable[[CaseRecord], float | None]


def draw(records: Records, folder: Path) -> list[Path]:
    """Draws throughput.svg and memory.svg of the first training whose cases share one size."""
    shown = [grid for grid in build_grids(records.cases) if is_training(grid)][:1]
    written = []
    for grid in shown:
        title = f"training including the input projection, {describe_size(grid.common)}"
        written += draw_over_lengths(grid, timesteps_per_second, "/s", f"Time steps per second, {title}", folder / "throughput.svg")
        memory = f"Peak memory over the baseline in MiB (2^20 bytes), {title}"
        written += draw_over_lengths(grid, find_peak, " MiB", memory, folder / "memory.svg")
    return written


def is_training(grid: Grid) -> bool:
    return grid.common.mode == "training" and grid.common.input_product and not grid.has_several_sizes


def find_peak(record: CaseRecord) -> float | None:
    return record.memory.peak / MIB if record.memory and record.memory.peak else None


def draw_over_lengths(grid: Grid, value: Value, unit: str, title: str, path: Path) -> list[Path]:
    """Draws a panel per cell and a line per backend; torch.nn's GRU is grey if torch.nn lacks the cell."""
    found = [Panel(cell, lines) for cell in grid.cells if (lines := list_curves(grid, cell, value, unit))]
    return draw_panels(found, title, path, "T", grid.lengths)


def list_curves(grid: Grid, cell: str, value: Value, unit: str) -> dict[str, list[Point]]:
    """Returns the values of a cell over T by backend; {} if only torch.nn's GRU has any."""
    found: dict[str, list[Point]] = {}
    for row in (row for row in grid.rows if row.cell == cell):
        gru = grid.find_peers(row).width
        for name, record in {**({VENDOR_GRU: gru} if gru else {}), **grid.timed_records(row)}.items():
            known = value(record)
            if known is not None:
                found.setdefault(name, []).append(Point(row.T, known, f"{cell}, {name}, T={row.T}: {format_number(known)}{unit}"))
    return found if set(found) - {VENDOR_GRU} else {}


def draw_cell(cell: str, runs: Sequence[tuple[str, Grid]], path: Path) -> list[Path]:
    """Draws the time steps per second of a cell in training, one panel per run.

    Args:
        cell: The cell.
        runs: The day and a grid of each run.
        path: The file.
    """
    found, lengths = [], set[int]()
    for day, grid in runs:
        if cell in grid.cells and is_training(grid) and (lines := list_curves(grid, cell, timesteps_per_second, "/s")):
            found.append(Panel(f"{day}, {describe_size(grid.common)}", lines))
            lengths |= set(grid.lengths)
    return draw_panels(found, f"Time steps per second of {cell} in training, a panel for each run", path, "T", sorted(lengths))

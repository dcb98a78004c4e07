"""Draws the plot at the top of a report: every speedup over torch.nn with its interval."""

from pathlib import Path

from matplotlib.lines import Line2D

from bench.analysis.verdict import Speed
from bench.records import CaseRecord, Records
from bench.records.backend_table import order_backend
from bench.render.case_grid import Grid, Row, build_grids
from bench.render.formatting import describe_size, describe_task, format_speed_interval
from bench.render.plots import choose_style, new_figure, save_figure, set_titles, styled
from bench.render.svg import MUTED

ROW_HEIGHT = 0.3
"""Inches per row."""
MOST_ROWS = 60
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50)
CLOSE_TICKS = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1, 1.2, 1.5, 2, 2.5, 3, 4, 5)


def draw(records: Records, folder: Path) -> list[Path]:
    """Draws speeds.svg into a folder, of the first task with speedups, at the longest T or, with several sizes, of all. Returns [] without
    any."""
    for grid in build_grids(records.cases):
        if found := find_speeds(grid):
            return [draw_speeds(grid, found, folder / "speeds.svg")]
    return []


def find_speeds(grid: Grid) -> dict[Row, list[tuple[CaseRecord, Speed]]]:
    """Returns the speeds of each row that has any."""
    found = {row: [(r, s) for r in grid.timed_records(row).values() if (s := grid.find_speed(r))] for row in grid.longest_rows}
    return {row: known for row, known in found.items() if known}


def name_row(grid: Grid, row: Row) -> str:
    """Returns the name of a row, marked if the row is compared with another cell."""
    name = " ".join([row.cell, *(f"{key}={getattr(row, key)}" for key in grid.longest_keys[1:])])
    return f"{name} (vs gru)" if grid.find_peers(row).width else name


@styled
def draw_speeds(grid: Grid, found: dict[Row, list[tuple[CaseRecord, Speed]]], path: Path) -> Path:
    """Draws a row per cell, the fastest at the top, with a mark per backend at its ratio and a bar for its interval."""
    rows = sorted(found, key=lambda row: max(speed.ratio.value for _, speed in found[row]))[-MOST_ROWS:]
    figure = new_figure(8, ROW_HEIGHT * len(rows) + 1.4)
    axis = figure.subplots()
    backends = sorted({record.case.backend for row in rows for record, _ in found[row]}, key=order_backend)
    for backend in backends:
        shown = [(y, row, s) for y, row in [*enumerate(rows)][::-1] for r, s in found[row] if r.case.backend == backend]
        look = choose_style(backend, backends) | {"linestyle": "none"}
        bars = [(y, s.ratio.low, s.ratio.high) for y, _, s in shown if s.ratio.bounded]
        if bars:
            axis.hlines(
                [y for y, *_ in bars], [low for _, low, _ in bars], [high for *_, high in bars], look["color"], linewidth=2.5, alpha=0.45
            )
        marks = axis.plot([s.ratio.value for *_, s in shown], [y for y, *_ in shown], **look)
        set_titles(marks, [f"{name_row(grid, row)}, {backend}: {format_speed_interval(s)}, {s.verdict}" for _, row, s in shown])
    axis.axvline(1, color=MUTED, linewidth=1)
    axis.text(1, len(rows) - 0.35, "torch.nn", ha="center", va="bottom", color=MUTED)
    axis.set_yticks(range(len(rows)), [name_row(grid, row) for row in rows])
    axis.set(xscale="log", ylim=(-0.6, len(rows) - 0.4), xlabel="times as fast as torch.nn (log scale); bars are 95% intervals")
    low, high = axis.get_xlim()
    ticks = [tick for tick in (TICKS if high > 8 * low else CLOSE_TICKS) if low <= tick <= high]
    axis.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axis.minorticks_off()
    figure.legend(
        [Line2D([], [], **choose_style(name, backends) | {"linestyle": "none"}) for name in backends], backends, loc="outside right upper"
    )
    at = "" if grid.has_several_sizes else f"T={grid.lengths[-1]} "
    return save_figure(figure, f"Speed against torch.nn, {describe_task(grid.common).lower()}, {at}{describe_size(grid.common)}", path)

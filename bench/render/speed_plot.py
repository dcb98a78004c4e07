"""The picture at the head of a report: every speed against torch.nn, with its interval."""

from pathlib import Path

import matplotlib
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.verdict import Speed
from bench.records import CaseRecord, Records
from bench.render.case_grid import Grid, Row, build_grids
from bench.render.formatting import describe_size, describe_task
from bench.render.plots import STYLE, save, style

HIGH = 0.34
"""Inches of a row."""
MOST = 60


def draw(records: Records, folder: Path) -> list[Path]:
    """speeds.svg, of the first task that has speeds, at the longest T, or of all sizes where there are several; [] without any."""
    for grid in build_grids(records.cases):
        if found := speeds(grid):
            with matplotlib.rc_context(STYLE):
                return [forest(grid, found, folder / "speeds.svg")]
    return []


def speeds(grid: Grid) -> dict[Row, list[tuple[CaseRecord, Speed]]]:
    """By row what has a speed against the vendor."""
    found = {row: [(r, s) for r in grid.timed_records(row).values() if (s := grid.speed(r))] for row in grid.longest_rows}
    return {row: known for row, known in found.items() if known}


def named(grid: Grid, row: Row) -> str:
    """A row's name, and that it is compared with another cell where it is."""
    name = " ".join([row.cell, *(f"{key}={getattr(row, key)}" for key in grid.longest_keys[1:])])
    return f"{name} (vs gru)" if grid.peers(row).width else name


def forest(grid: Grid, found: dict[Row, list[tuple[CaseRecord, Speed]]], path: Path) -> Path:
    """A row for each cell, the fastest above; a mark for each backend, at its ratio, over its interval."""
    rows = sorted(found, key=lambda row: max(speed.ratio.value for _, speed in found[row]))[-MOST:]
    figure = Figure(figsize=(8, HIGH * len(rows) + 1.5), linewidth=1.5, layout="constrained")
    axis, shown = figure.subplots(), {}
    backends = {record.case.backend for row in rows for record, _ in found[row]}
    for y, row in enumerate(rows):
        for record, speed in found[row]:
            ratio, look = speed.ratio, style(record.case.backend, backends)
            shown[record.case.backend] = look
            if ratio.bounded:
                axis.plot([ratio.low, ratio.high], [y, y], color=look["color"], linewidth=2.5, alpha=0.45, solid_capstyle="butt")
            axis.plot([ratio.value], [y], color=look["color"], marker=look["marker"], fillstyle=look["fillstyle"], linestyle="none")
    axis.axvline(1, color="0.6", linewidth=1)
    axis.set_yticks(range(len(rows)), [named(grid, row) for row in rows])
    axis.set(xscale="log", ylim=(-0.6, len(rows) - 0.4), xlabel="times as fast as torch.nn (log scale); bars are 95% intervals")
    ends = axis.get_xlim()
    ticks = [tick for tick in (0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50) if ends[0] <= tick <= ends[1]]
    axis.set_xticks(ticks, [f"{tick:g}×" for tick in ticks])
    axis.minorticks_off()
    handles = [
        Line2D([], [], color=look["color"], marker=look["marker"], fillstyle=look["fillstyle"], linestyle="none") for look in shown.values()
    ]
    figure.legend(handles, list(shown), loc="outside right upper")
    at = "" if grid.has_several_sizes else f"T={grid.lengths[-1]} "
    return save(figure, f"Speed against torch.nn, {describe_task(grid.common).lower()}, {at}{describe_size(grid.common)}", path)

"""Builds the rows of the tables on the site's own pages."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import geometric_mean

from bench.analysis.comparison import Comparison, Pair
from bench.analysis.history import Change, Series, Timeline
from bench.records.backend_table import find_backend
from bench.render.case_grid import Grid
from bench.render.comparison_tables import PLACES, SPEEDS, describe_status, find_time
from bench.render.formatting import NONE, count_noun, describe_size, describe_task, format_factor, format_ratio, format_speed_interval
from bench.render.published import Published


@dataclass(frozen=True)
class Entry:
    """A page that compares two runs."""

    older: str
    newer: str
    address: str
    verdicts: str
    unlike: Sequence[str]


def count_verdicts(found: Comparison) -> str:
    counts = ", ".join(f"{n} {verdict}" for verdict in ("faster", "slower", "tie", "ambiguous") if (n := found.count(verdict)))
    return f"{count_noun(len(found.compared), 'case')} compared: {counts}" if counts else "nothing has a time in both"


def compare_cases(found: Comparison) -> tuple[list[str], list[list[str]]]:
    """Returns headers and rows: cases with a speed, the slowest first, then cases that lost or gained their time."""
    headers = [*(column.header for column, _ in PLACES), "A, ms", "B, ms", "B's speed", "verdict"]

    def where(pair: Pair) -> list[str]:
        return [column.format_value(entry(pair.case)) for column, entry in PLACES]

    rows = [
        [*where(pair), *map(SPEEDS[0].format_value, (find_time(pair.a), find_time(pair.b))), format_speed_interval(speed), speed.verdict]
        for pair, speed in found.compared
    ]
    rows += [[*where(pair), describe_status(pair.a), describe_status(pair.b), NONE, pair.why] for pair in found.changed]
    return headers, rows


def list_regressions(lines: Sequence[Timeline]) -> list[tuple[str, str, str]]:
    """Returns the cases that became slower and stayed slower: the case, the speed, and the runs."""
    found = [(series, change) for line in lines for series in line.series if (change := series.regression)]
    return [(describe_case(series), format_speed_interval(change.speed), describe_change(change)) for series, change in found]


def describe_case(series: Series) -> str:
    known = series.case
    return f"{known.cell}, {known.backend}: {describe_task(known).lower()}, T={known.T} {describe_size(known)}"


def describe_change(change: Change) -> str:
    versions = f"; with it {', '.join(change.versions)}" if change.versions else ""
    commits = " → ".join((point.records.run.environment.commit[:9] or "unknown") for point in (change.before, change.after))
    return f"{change.after.run}, commits {commits}, margin {change.margin:.1%}{versions}"


def list_histories(line: Timeline) -> list[list[str]]:
    """Returns a row per case of a machine: its name, its speedup over torch.nn in every run, and its changes."""
    names = [name for name, _ in line.runs]
    rows = []
    for series in line.series:
        known = {point.run: point for point in series.points}
        values = [format_factor(known[name].value) if name in known else NONE for name in names]
        told = "; ".join(
            f"{change.speed.verdict} at {change.after.run}: {format_speed_interval(change.speed)}" for change in series.changes
        )
        where = series.case
        rows.append([where.cell, where.backend, describe_task(where).lower(), str(where.T), *values, told or "no change"])
    return rows


def list_like_for_like(runs: Sequence[Published]) -> list[tuple[Published, str, str, str, str]]:
    """Returns a row per cell that torch.nn has and schedule of this project, of each machine's newest run that compares them: run, cell,
    backend, and the speedups in training and inference over torch.nn's own cell, the mean and the range over the cases."""
    rows, machines = list[tuple[Published, str, str, str, str]](), set[str]()
    for run in runs:
        found: dict[tuple[str, str], dict[str, list[float]]] = {}
        for grid in (grid for grid in run.grids if grid.common.input_product and run.machine not in machines):
            for row in (row for row in grid.rows if grid.find_peers(row).same):
                for backend, record in grid.timed_records(row).items():
                    if find_backend(backend).kind == "schedule" and (speed := grid.find_speed(record)):
                        found.setdefault((row.cell, backend), {}).setdefault(grid.common.mode, []).append(speed.ratio.value)
        if found:
            machines.add(run.machine)
        for (cell, backend), modes in sorted(found.items()):
            rows.append((run, cell, backend, format_mean(modes.get("training", [])), format_mean(modes.get("inference", []))))
    return rows


def format_mean(ratios: Sequence[float]) -> str:
    """Returns the geometric mean of ratios with their range and number."""
    if len(ratios) < 2:
        return format_factor(ratios[0]) if ratios else NONE
    return f"{format_factor(geometric_mean(ratios))} ({format_ratio(min(ratios))} to {format_ratio(max(ratios))}, {len(ratios)} cases)"


def list_speeds(grid: Grid, cell: str, run: Published) -> list[tuple[Published, str, int, str, str, str]]:
    """Returns a row per speedup of a cell over torch.nn: run, task, T, backend, peer, speedup."""
    rows = []
    for row in (row for row in grid.rows if row.cell == cell):
        peer = "its own cell" if grid.find_peers(row).same else "its GRU"
        what = f"{describe_task(grid.common)}, {describe_size(grid.case_at(row, ''))}"
        speeds = ((b, grid.find_speed(record)) for b, record in grid.timed_records(row).items())
        rows += [(run, what, row.T, b, peer, format_speed_interval(speed)) for b, speed in speeds if speed]
    return rows

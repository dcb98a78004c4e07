"""What the site plots of records."""

import math
from collections.abc import Callable, Mapping, Sequence

from markupsafe import Markup

from bench.analysis.history import Timeline
from bench.analysis.summary import is_representable, timesteps_per_second
from bench.records import CaseRecord, GradientRecord
from bench.render import gradient_report
from bench.render.case_grid import ORDER, Grid
from bench.render.formatting import describe_size, describe_task, format_factor, format_number, format_power, format_speed_interval
from bench.render.plots import curves, peak
from bench.render.published import Published
from bench.render.speed_plot import named, speeds
from bench.site.svg_plot import Axis, Line, Mark, Panel, forest, panels

POINTS = 33
"""Of a gradient norm over lag that are told when pointed at; a page has room for no more."""
TICKS = (0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 3, 5, 10, 20, 50)
DRAWN = [name for name in ORDER if not name.endswith("-low")]


def look(backend: str) -> int | None:
    """A backend's colour and shape: those of the report's pictures."""
    if backend not in ORDER and ":" not in backend:
        return None
    name = backend.removesuffix("-low")
    return [*DRAWN, name].index(name) % 8


def pictures(run: Published) -> dict[str, Markup]:
    """Plots that stand in for the pictures of a report, by the name of its file."""
    found = {"speeds": speed(run.grids), "gradients": norms(run.records.gradients)}
    training = [g for g in run.grids if g.common.mode == "training" and g.common.input_product and not g.has_several_sizes][:1]
    for grid in training:
        title = f"training including the input projection, {describe_size(grid.common)}"
        found["throughput"] = over_lengths(grid, timesteps_per_second, f"Time steps per second, {title}", "time steps per second")
        found["memory"] = over_lengths(grid, peak, f"Peak memory over the baseline, {title}", "MiB")
    return {name: plot for name, plot in found.items() if plot}


def speed(grids: Sequence[Grid]) -> Markup:
    """Speeds against the vendor, of the first task that has any."""
    for grid in grids:
        if found := speeds(grid):
            order = sorted(found, key=lambda row: -max(s.ratio.value for _, s in found[row]))
            rows = []
            for row in order:
                lines = []
                for record, s in found[row]:
                    ends = (s.ratio.low, s.ratio.high) if s.ratio.bounded else ()
                    mark = Mark(
                        s.ratio.value, 0, f"{named(grid, row)}, {record.case.backend}: {format_speed_interval(s)}, {s.verdict}", *ends
                    )
                    lines.append(Line(record.case.backend, look(record.case.backend), [mark]))
                rows.append((named(grid, row), lines))
            at = "" if grid.has_several_sizes else f"T={grid.lengths[-1]} "
            title = f"Speed against torch.nn, {describe_task(grid.common).lower()}, {at}{describe_size(grid.common)}"
            return forest(title, rows, Axis("times as fast as torch.nn; bars are 95% intervals", True, TICKS, "×"))
    return Markup("")


def over_lengths(grid: Grid, value: Callable[[CaseRecord], float | None], title: str, unit: str) -> Markup:
    """A quantity over T: a panel for each cell, a line for each backend."""
    found = []
    for cell in grid.cells:
        lines = []
        for backend, points in curves(grid, cell, value).items():
            marks = [Mark(T, v, f"{cell}, {backend}, T={T}: {format_number(v)} {unit}") for T, v in points.items()]
            lines.append(Line(backend, None if backend == "vendor's gru" else look(backend), marks))
        if lines:
            found.append(Panel(cell, lines))
    return panels(title, found, Axis("T", True, grid.lengths), Axis(unit, True))


def norms(records: Sequence[GradientRecord]) -> Markup:
    """Gradient norms over lag at the longest T, of the first seed, and their errors against float64, the median over seeds."""
    T = max((record.T for record in records), default=0)
    found = {key: group[T] for key, group in gradient_report.group_gradients(records).items() if T in group}
    at, first = f"at T - k over lag k, T={T}", records[0].loss if records else ""
    sizes = {key: [v if is_representable(key[1], v) else 0.0 for v in group[0].by_lag] for key, group in found.items()}
    errors = {
        key: [v if v < gradient_report.ENDLESS else 0.0 for v in gradient_report.median_errors(group)]
        for key, group in found.items()
        if group[0].errors
    }
    above = over_lags(f"Gradient norm {at}, down to what the dtype can tell: {first}", "‖∂L/∂s‖", T, found, sizes)
    return above + over_lags(f"Error of the gradient {at}, against float64; {gradient_report.LOST:g} is lost", "error", T, found, errors)


def over_lags(
    title: str,
    name: str,
    T: int,
    found: Mapping[gradient_report.Key, Sequence[GradientRecord]],
    values: Mapping[gradient_report.Key, Sequence[float]],
) -> Markup:
    """Positive values over lag: a panel for each initialisation and dtype, a line for each cell."""
    cells, far, shown = sorted({cell for cell, _, _ in found}), T > gradient_report.EACH, []
    for init, dtype in dict.fromkeys((init, dtype) for _, dtype, init in values):
        lines = []
        for cell, kind, start in values:
            if (kind, start) == (dtype, init):
                pairs = zip(found[cell, kind, start][0].steps, values[cell, kind, start], strict=True)
                known = spaced([(lag, v) for lag, v in pairs if 0 < v < math.inf and (lag or not far)], far)
                marks = [Mark(lag, v, f"{cell}, {init}, {dtype}, lag {lag}: {format_power(v)}") for lag, v in known]
                lines += [Line(cell, cells.index(cell) % 8, marks)] if marks else []
        shown += [Panel(f"{init}, {dtype}", lines)] if lines else []
    return panels(title, shown, Axis("lag k", far), Axis(name, True))


def spaced(points: Sequence[tuple[int, float]], far: bool) -> list[tuple[int, float]]:
    """Some of many points: by even steps or, where they reach `far`, by even steps of the logarithm; always the last."""
    count = len(points)
    if count <= POINTS:
        return list(points)
    places = (count ** (k / (POINTS - 1)) - 1 if far else k * (count - 1) / (POINTS - 1) for k in range(POINTS))
    return [points[place] for place in sorted({round(place) for place in places})]


def history(line: Timeline) -> Markup:
    """Of every case that changed, its ratio to the vendor over the runs of a machine, with its intervals and change points."""
    names = [name for name, _ in line.runs]
    found = []
    for series in (series for series in line.series if series.changes):
        marks, case = [], series.case
        for point in series.points:
            value, here = point.estimate, point.records.run.environment
            ends = (value.low, value.high) if value.bounded else ()
            said = f"{case.cell}, T={case.T}, {point.run}, commit {here.commit[:9] or 'unknown'}: {format_factor(value.value)}"
            marks.append(Mark(names.index(point.run) + 1, value.value, said, *ends))
        rules = [(names.index(change.after.run) + 1, change.speed.verdict) for change in series.changes]
        given = "" if case.input_product else ", given"
        found.append(Panel(f"{case.cell}, {case.mode}{given}, T={case.T}", [Line(case.backend, look(case.backend), marks)], rules))
    return panels(
        "Speed against torch.nn of what changed, over runs", found, Axis("run", ticks=range(1, len(names) + 1)), Axis("×", True, unit="×")
    )


def one_cell(cell: str, runs: Sequence[Published]) -> Markup:
    """Time steps per second of a cell in training over T, a panel for each run of one size."""
    found, lengths = [], set[int]()
    for run in runs:
        for grid in run.grids:
            if cell not in grid.cells or grid.has_several_sizes or grid.common.mode != "training" or not grid.common.input_product:
                continue
            lines = []
            for backend, points in curves(grid, cell, timesteps_per_second).items():
                said = f"{run.name}, {backend}, {describe_size(grid.common)}"
                marks = [Mark(T, v, f"{said}, T={T}: {format_number(v)} time steps per second") for T, v in points.items()]
                lines.append(Line(backend, None if backend == "vendor's gru" else look(backend), marks))
            lengths |= set(grid.lengths)
            found += [Panel(f"{run.day}, {run.records.run.environment.device}", lines)] if lines else []
    return panels(
        "Time steps per second in training, in every run", found, Axis("T", True, sorted(lengths)), Axis("time steps per second", True)
    )


def speeds_of(grid: Grid, cell: str, run: Published) -> list[tuple[Published, str, int, str, str, str]]:
    """A row for each speed of a cell against the vendor: the run, the task, T, the backend, against what, and the speed."""
    rows = []
    for row in (row for row in grid.rows if row.cell == cell):
        peer = "its own cell" if grid.peers(row).same else "its GRU"
        what = f"{describe_task(grid.common)}, {describe_size(grid.case_at(row, ''))}"
        rows += [
            (run, what, row.T, b, peer, format_speed_interval(s))
            for b, record in grid.timed_records(row).items()
            if (s := grid.speed(record))
        ]
    return rows

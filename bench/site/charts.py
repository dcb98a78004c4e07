"""What the site plots of records."""

from collections.abc import Callable, Sequence

from markupsafe import Markup

from bench.compare.history import Timeline
from bench.records import CaseRecord, GradientRecord
from bench.render.grid import ORDER, Grid
from bench.render.picture import named, speeds
from bench.render.plots import curves, peak
from bench.render.published import Published
from bench.render.words import factor, interval, number, power, size, task
from bench.site.plot import Axis, Line, Mark, Panel, forest, panels
from bench.summary import timesteps_per_second

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
    found = {"speeds": speed(run.grids), "gradients": gradients(run.records.gradients)}
    training = [g for g in run.grids if g.common.mode == "training" and g.common.input_product and not g.several][:1]
    for grid in training:
        title = f"training with the input product, {size(grid.common)}"
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
                    mark = Mark(s.ratio.value, 0, f"{named(grid, row)}, {record.case.backend}: {interval(s)}, {s.verdict}", *ends)
                    lines.append(Line(record.case.backend, look(record.case.backend), [mark]))
                rows.append((named(grid, row), lines))
            at = "" if grid.several else f"T={grid.lengths[-1]} "
            title = f"Speed against torch.nn, {task(grid.common).lower()}, {at}{size(grid.common)}"
            return forest(title, rows, Axis("times as fast as torch.nn; bars are 95% intervals", True, TICKS, "×"))
    return Markup("")


def over_lengths(grid: Grid, value: Callable[[CaseRecord], float | None], title: str, unit: str) -> Markup:
    """A quantity over T: a panel for each cell, a line for each backend."""
    found = []
    for cell in grid.cells:
        lines = []
        for backend, points in curves(grid, cell, value).items():
            marks = [Mark(T, v, f"{cell}, {backend}, T={T}: {number(v)} {unit}") for T, v in points.items()]
            lines.append(Line(backend, None if backend == "vendor's gru" else look(backend), marks))
        if lines:
            found.append(Panel(cell, lines))
    return panels(title, found, Axis("T", True, grid.lengths), Axis(unit, True))


def gradients(records: Sequence[GradientRecord]) -> Markup:
    """The norm over lag at the longest T, a line for each cell, of the first dtype and initialisation."""
    T = max((record.T for record in records), default=0)
    first = next((r for r in records if r.T == T and any(r.by_lag)), None)
    if first is None:
        return Markup("")
    kept = {r.cell: r for r in records if r.T == T and any(r.by_lag) and (r.dtype, r.init) == (first.dtype, first.init)}
    lines = []
    for k, (cell, record) in enumerate(kept.items()):
        every = max(1, len(record.by_lag) // POINTS)
        pairs = list(zip(record.steps, record.by_lag, strict=True))[::every]
        marks = [Mark(lag, norm, f"{cell}, lag {lag}: {power(norm)}") for lag, norm in pairs if 0 < norm < float("inf")]
        lines.append(Line(cell, k % 8, marks))
    title = f"Gradient norm over lag, T={T} in {first.dtype}: {first.loss}"
    return panels(title, [Panel("mean over sequences of ‖∂L/∂s‖", lines)], Axis("lag k, steps back from the last"), Axis("norm", True))


def history(line: Timeline) -> Markup:
    """Of every case that changed, its ratio to the vendor over the runs of a machine, with its intervals and change points."""
    names = [name for name, _ in line.runs]
    found = []
    for series in (series for series in line.series if series.changes):
        marks, case = [], series.case
        for point in series.points:
            value, here = point.estimate, point.records.run.environment
            ends = (value.low, value.high) if value.bounded else ()
            said = f"{case.cell}, T={case.T}, {point.run}, commit {here.commit[:9] or 'unknown'}: {factor(value.value)}"
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
            if cell not in grid.cells or grid.several or grid.common.mode != "training" or not grid.common.input_product:
                continue
            lines = []
            for backend, points in curves(grid, cell, timesteps_per_second).items():
                said = f"{run.name}, {backend}, {size(grid.common)}"
                marks = [Mark(T, v, f"{said}, T={T}: {number(v)} time steps per second") for T, v in points.items()]
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
        what = f"{task(grid.common)}, {size(grid.at(row, ''))}"
        rows += [(run, what, row.T, b, peer, interval(s)) for b, record in grid.timed(row).items() if (s := grid.speed(record))]
    return rows

"""Draws the speeds over the runs of one machine."""

from pathlib import Path

from bench.analysis.history import Series, Timeline
from bench.render.formatting import format_factor
from bench.render.plots import Panel, Point, draw_panels


def draw(line: Timeline, path: Path) -> list[Path]:
    """Draws each case that changed: its speedup over torch.nn in every run with its interval, and its change points.

    Args:
        line: The runs.
        path: The file.

    Returns:
        The path, or [] if no case changed.
    """
    names = [name for name, _ in line.runs]
    found = [make_panel(series, names) for series in line.series if series.changes]
    return draw_panels(found, "Speed against torch.nn of the cases that changed, over runs", path, "run", range(1, len(names) + 1), "×")


def make_panel(series: Series, names: list[str]) -> Panel:
    case, points = series.case, []
    for point in series.points:
        value, commit = point.estimate, point.records.run.environment.commit[:9] or "unknown"
        title = f"{case.cell}, T={case.T}, {point.run}, commit {commit}: {format_factor(value.value)}"
        ends = (value.low, value.high) if value.bounded else (None, None)
        points.append(Point(names.index(point.run) + 1, value.value, title, *ends))
    product = "" if case.input_product else ", excluding the input projection"
    rules = [(names.index(change.after.run) + 1, change.speed.verdict) for change in series.changes]
    return Panel(f"{case.cell}, {case.mode}{product}, T={case.T}", {case.backend: points}, rules)

"""Pictures drawn by matplotlib: their style, the look of each backend, panels of lines, and how a picture is saved."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.records.backend_table import COLOURS, COLUMNS, LOW, MARKS, choose_look
from bench.render.svg import GROUND, INK, MUTED, RULE, SEPARATOR, compact_svg

MARKERS = MARKS[1:]
"""Those of cells, and of other series that are no backends."""
VENDOR_GRU = "vendor's gru"

PANELS_ACROSS = 4
POWER = "{x:.0e}"
"""Labels of a scale over decades: 1e-05."""
LETTERS = 12
"""Letters of a title in an inch."""

STYLE: Any = {
    "svg.hashsalt": "bench", "svg.fonttype": "none", "path.simplify_threshold": 0.3, "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 10.0, "figure.facecolor": GROUND, "axes.facecolor": GROUND,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.edgecolor": MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": RULE,
    "xtick.major.size": 0, "ytick.major.size": 0, "lines.markersize": 4.5, "lines.linewidth": 1.5, "legend.frameon": False,
}  # fmt: skip


class Point(NamedTuple):
    """A value, what its title says and, where it has an interval, its ends."""

    x: float
    y: float
    title: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Panel:
    """Lines on one pair of scales, by backend. `rules` are places along x, each with a word."""

    title: str
    lines: Mapping[str, Sequence[Point]]
    rules: Sequence[tuple[float, str]] = ()


def panels(found: Sequence[Panel], title: str, path: Path, x: str, ticks: Sequence[float], unit: str = "") -> list[Path]:
    """Draw a panel beside the other, on the same scales, y logarithmic. Nothing without a panel.

    Args:
        x: The name of the axis; "T" is logarithmic.
        ticks: Where x has labels.
        unit: Follows the labels of y.
    """
    if not found:
        return []
    figure, axes = grid(len(found))
    names = sorted({name for panel in found for name in panel.lines}, key=place_of)
    for axis, panel in zip(axes.flat, found, strict=False):
        for name, points in panel.lines.items():
            set_titles(axis.plot(*columns(points), label=name, **style(name, names)), [point.title for point in points])
            ends = [(point.x, point.low, point.high) for point in points if point.low is not None and point.high is not None]
            if ends:
                at, low, high = zip(*ends, strict=True)
                axis.vlines(at, low, high, colors=style(name, names)["color"], linewidth=3, alpha=0.4)
        for place, word in panel.rules:
            axis.axvline(place, color=MUTED, linewidth=1)
            axis.annotate(word, (place, 1), xycoords=("data", "axes fraction"), textcoords="offset points", xytext=(-3, -9), ha="right")
        axis.set(title=panel.title, xscale="log" if x == "T" else "linear", yscale="log")
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(f"{{x:,.6g}}{unit}")
        axis.minorticks_off()
    label_bottom(axes, len(found), x)
    handles = dict(pair for axis in axes.flat for pair in zip(*reversed(axis.get_legend_handles_labels()), strict=True))
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=len(names))
    return [save(figure, title, path)]


def place_of(backend: str) -> tuple[int, str]:
    return COLUMNS.index(backend) if backend in COLUMNS else len(COLUMNS), backend


def columns(points: Iterable[Point]) -> tuple[list[float], list[float]]:
    pairs = [(point.x, point.y) for point in points]
    return [x for x, _ in pairs], [y for _, y in pairs]


def grid(count: int) -> tuple[Figure, Any]:
    """Return a figure with room for so many panels."""
    across = min(PANELS_ACROSS, count)
    down = -(-count // across)
    figure = new_figure(max(3 * across, 6), 2.3 * down + 1)
    return figure, figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, its size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def set_titles(artists: Sequence[Any], titles: Sequence[str]) -> None:
    """Give an artist's marks their titles, or a line without marks its one."""
    for artist in artists:
        artist.set_gid("".join(SEPARATOR + title for title in titles))


def color(k: int) -> str:
    """Return the colour of the k-th cell, or other series."""
    return COLOURS[k % (len(COLOURS) - 1)]


def cell_style(k: int) -> dict[str, Any]:
    """Return the colour and the marker of the k-th cell."""
    return {"color": color(k), "marker": MARKERS[k % (len(COLOURS) - 1)]}


def style(backend: str, others: Iterable[str] = ()) -> dict[str, Any]:
    """Return how a backend is drawn beside `others`.

    With low memory its line is dotted and its marks are hollow; torch.nn's GRU beside another cell is dashed.
    """
    if backend == VENDOR_GRU:
        return {"color": MUTED, "marker": ".", "linestyle": "--"}
    color, marker = choose_look(backend, set(others) - {VENDOR_GRU})
    low = backend.endswith(LOW)
    return {"color": color, "marker": marker, "linestyle": ":" if low else "-", "fillstyle": "none" if low else "full"}


def decades(axis: Axes) -> None:
    """Label the y of an axis that spans decades."""
    axis.minorticks_off()
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter(POWER)


def legend(figure: Figure, axes: Iterable[Axes], **where: Any) -> None:
    """Name every line of some axes once."""
    handles = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(handles.values()), list(handles), **(where or {"loc": "outside right center"}))


def label_bottom(axes: Any, shown: int, label: str) -> None:
    """Blank the axes behind the last that is shown, and name the x of the last in each column."""
    for axis in axes.flat[shown:]:
        axis.set_axis_off()
    for k in range(min(shown, axes.shape[1])):
        last = axes[(shown - 1 - k) // axes.shape[1], k]
        last.set_xlabel(label)
        last.tick_params(labelbottom=True)


def save(figure: Figure, title: str, path: Path) -> Path:
    """Write a figure under its title: the same bytes from the same figure."""
    lines = textwrap.fill(title, int(LETTERS * figure.get_figwidth()))
    figure.suptitle(lines, fontsize=10, x=0.01, ha="left")
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact_svg(text.getvalue(), title, path.stem), encoding="utf-8")
    return path

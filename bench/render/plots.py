"""Shared parts of all plots: style, the look of each backend, panels of lines, and saving."""

import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, NamedTuple

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.records.backend_table import COLOURS, LOW, MARKS, choose_look, order_backend
from bench.render.line_labels import label_lines
from bench.render.svg import GROUND, INK, MUTED, RULE, SEPARATOR, compact_svg

MARKERS = MARKS[1:]
"""The markers of cells and of other series that are no backends."""
VENDOR_GRU = "vendor's gru"

PANELS_ACROSS = 4
POWER = "{x:.0e}"
"""The format of labels over decades: 1e-05."""
LETTERS = 12
"""Letters of a title per inch."""

STYLE: Any = {
    "svg.hashsalt": "bench", "svg.fonttype": "none", "path.simplify_threshold": 0.3, "text.parse_math": False,
    "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 10.0, "figure.facecolor": GROUND, "axes.facecolor": GROUND,
    "text.color": INK, "axes.labelcolor": INK, "axes.titlecolor": INK, "xtick.labelcolor": INK, "ytick.labelcolor": INK,
    "axes.edgecolor": MUTED, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.color": RULE,
    "xtick.major.size": 0, "ytick.major.size": 0, "lines.markersize": 4.5, "lines.linewidth": 1.5, "legend.frameon": False,
}  # fmt: skip


styled = rc_context(STYLE)
"""Decorates a function that draws."""


class Point(NamedTuple):
    """A point of a line, its title (shown on hover), and its interval if it has one."""

    x: float
    y: float
    title: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class Panel:
    """Lines by backend on one pair of axes. `rules` are vertical lines with a word."""

    title: str
    lines: Mapping[str, Sequence[Point]]
    rules: Sequence[tuple[float, str]] = ()


@styled
def draw_panels(found: Sequence[Panel], title: str, path: Path, x: str, ticks: Sequence[float], unit: str = "") -> list[Path]:
    """Draws panels with shared axes, y logarithmic; nothing without a panel.

    Args:
        found: The panels.
        title: The title of the figure.
        path: The file.
        x: The name of the x axis; "T" is logarithmic.
        ticks: The labelled values of x.
        unit: Follows the labels of y.

    Returns:
        The path, or [].
    """
    if not found:
        return []
    figure, axes = make_axes(len(found))
    names = sorted({name for panel in found for name in panel.lines}, key=order_backend)
    for axis, panel in zip(axes.flat, found, strict=False):
        for name, points in panel.lines.items():
            set_titles(axis.plot(*split_points(points), label=name, **choose_style(name, names)), [point.title for point in points])
            ends = [(point.x, point.low, point.high) for point in points if point.low is not None and point.high is not None]
            if ends:
                at, low, high = zip(*ends, strict=True)
                axis.vlines(at, low, high, colors=choose_style(name, names)["color"], linewidth=3, alpha=0.4)
        for place, word in panel.rules:
            axis.axvline(place, color=MUTED, linewidth=1)
            axis.annotate(word, (place, 1), xycoords=("data", "axes fraction"), textcoords="offset points", xytext=(-3, -9), ha="right")
        axis.set(title=panel.title, xscale="log" if x == "T" else "linear", yscale="log")
        axis.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter(f"{{x:,.6g}}{unit}")
        axis.minorticks_off()
    label_bottom(axes, len(found), x)
    return [save_figure(figure, title, path, axes.flat)]


def split_points(points: Iterable[Point]) -> tuple[list[float], list[float]]:
    pairs = [(point.x, point.y) for point in points]
    return [x for x, _ in pairs], [y for _, y in pairs]


def make_axes(count: int) -> tuple[Figure, Any]:
    """Returns a figure and its axes for `count` panels."""
    across = min(PANELS_ACROSS, count)
    down = -(-count // across)
    figure = new_figure(max(3.6 * across, 6), 2.3 * down + 1)
    return figure, figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)


def new_figure(width: float, height: float) -> Figure:
    """Returns an empty figure of a size in inches."""
    return Figure(figsize=(width, height), layout="constrained")


def set_titles(artists: Sequence[Any], titles: Sequence[str]) -> None:
    """Sets the titles of an artist's marks, or the single title of a line without marks."""
    for artist in artists:
        artist.set_gid("".join(SEPARATOR + title for title in titles))


def cycle_color(k: int) -> str:
    """Returns the colour of the k-th cell or series."""
    return COLOURS[k % (len(COLOURS) - 1)]


def cell_style(k: int) -> dict[str, Any]:
    """Returns the colour and marker of the k-th cell. No two of the first hundred share both."""
    return {"color": cycle_color(k), "marker": MARKERS[(k + k // (len(COLOURS) - 1)) % len(MARKERS)]}


def choose_style(backend: str, others: Iterable[str] = ()) -> dict[str, Any]:
    """Returns the style of a backend in a plot with `others`.

    Low memory has a dotted line and hollow marks; torch.nn's GRU in the panel of another cell is dashed.
    """
    if backend == VENDOR_GRU:
        return {"color": MUTED, "marker": ".", "linestyle": "--"}
    color, marker = choose_look(backend, set(others) - {VENDOR_GRU})
    low = backend.endswith(LOW)
    return {"color": color, "marker": marker, "linestyle": ":" if low else "-", "fillstyle": "none" if low else "full"}


def draw_rule(axis: Axes, height: float, words: str) -> None:
    """Draws a dotted line across an axis at a height, with words at its right end."""
    axis.axhline(height, color=MUTED, linewidth=1, linestyle=":")
    place: Any = {"xycoords": ("axes fraction", "data"), "textcoords": "offset points", "xytext": (-2, 2)}
    axis.annotate(words, (1, height), ha="right", color=MUTED, **place)


def label_decades(axis: Axes) -> None:
    """Formats the labels of a y axis that spans decades."""
    axis.minorticks_off()
    axis.xaxis.set_major_formatter("{x:g}")
    axis.yaxis.set_major_formatter(POWER)


def label_bottom(axes: Any, shown: int, label: str) -> None:
    """Hides the axes after the last panel, and labels x at the bottom of each column."""
    for axis in axes.flat[shown:]:
        axis.set_axis_off()
    for k in range(min(shown, axes.shape[1])):
        last = axes[(shown - 1 - k) // axes.shape[1], k]
        last.set_xlabel(label)
        last.tick_params(labelbottom=True)


def save_figure(figure: Figure, title: str, path: Path, labelled: Iterable[Axes] = ()) -> Path:
    """Saves a figure under its title as SVG and returns the path. The same figure gives the same bytes.

    Args:
        figure: The figure.
        title: Its title.
        path: The file.
        labelled: The axes whose lines are named at their right ends.
    """
    lines = textwrap.fill(title, int(LETTERS * figure.get_figwidth()))
    figure.suptitle(lines, fontsize=10, x=0.01, ha="left")
    if axes := [*labelled]:
        label_lines(figure, axes)
    text = StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(compact_svg(text.getvalue(), title, path.stem), encoding="utf-8")
    return path

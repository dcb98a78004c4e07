"""Names the lines of a figure: each at its right end, in its colour, or all in a legend where they are many."""

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation
from numpy.typing import NDArray

MOST = 12
"""The most lines on a pair of axes that are named at their ends."""
SIZE, SPACING = 8.0, 1.2
"""The size of a label in points, and the smallest distance of two of them relative to it."""
DISTANCE = 0.03
"""The distance of the labels from the last end of a line, relative to the width of the axes."""


def label_lines(figure: Figure, axes: Sequence[Axes]) -> None:
    """Names every line that has a label, at its right end if each of the axes has at most MOST; a legend has everything else. The layout
    of the figure must be complete but for this.

    Args:
        figure: The figure.
        axes: Those of its axes whose lines are named.
    """
    lines = {axis: found for axis in axes if (found := list_labelled(axis))}
    if max(map(len, lines.values()), default=0) > MOST:
        add_legend(figure, axes)
        return
    add_legend(figure, axes, {line.get_label() for found in lines.values() for line in found})
    notes = {axis: [add_label(axis, line) for line in found] for axis, found in lines.items()}
    if engine := figure.get_layout_engine():  # lays out the axes, whose heights are known afterwards
        engine.execute(figure)
    figure.set_layout_engine(None)  # once is enough: with an engine, saving draws the figure twice
    for axis, found in lines.items():
        move_labels(axis, found, notes[axis])


def list_labelled(axis: Axes) -> list[Line2D]:
    """Returns the lines that have points and a label."""
    return [line for line in axis.get_lines() if len(np.asarray(line.get_xydata())) and not str(line.get_label()).startswith("_")]


def add_label(axis: Axes, line: Line2D) -> Annotation:
    """Writes the label of a line beside the axes, with a rule that joins them."""
    color = line.get_color()
    rule = {"arrowstyle": "-", "color": color, "linewidth": 0.6, "relpos": (0, 0.5), "shrinkA": 0, "shrinkB": 0}
    return axis.annotate(
        str(line.get_label()), (1, 0.5), xytext=(1 + DISTANCE, 0.5), xycoords="axes fraction", color=color, fontsize=SIZE, va="center",
        annotation_clip=False, arrowprops=rule,
    )  # fmt: skip


def move_labels(axis: Axes, lines: Sequence[Line2D], notes: Sequence[Annotation]) -> None:
    """Moves labels to the right of the last end of a line in their colours, to the heights of their own lines, and apart where they would
    overlap."""
    colors = {line.get_color() for line in lines}
    right = max(find_end(axis, line)[0] for line in axis.get_lines() if line.get_color() in colors)
    ends = np.array([find_end(axis, line) for line in lines])
    order, gap = ends[:, 1].argsort(kind="stable"), SPACING * SIZE / (axis.bbox.height * 72 / axis.figure.dpi)
    for k, height in zip(order, spread(ends[order, 1], gap), strict=True):
        notes[k].xy = tuple(ends[k])
        notes[k].set_position((right + DISTANCE, height))


def find_end(axis: Axes, line: Line2D) -> NDArray[np.float64]:
    """Returns the last point of a line, from 0 to 1 across the axes; 0 for a line without points."""
    points = (axis.transData - axis.transAxes).transform(np.asarray(line.get_xydata()).reshape(-1, 2)[-1:])
    return np.nan_to_num(points).clip(0, 1)[0] if len(points) else np.zeros(2)


def spread(heights: NDArray[np.float64], gap: float) -> NDArray[np.float64]:
    """Returns increasing heights between 0 and 1, moved as little as it takes to be `gap` apart; the lowest below 0 if they don't fit."""
    steps = gap * np.arange(len(heights))
    wanted = heights - steps
    moved = (np.maximum.accumulate(wanted) + np.minimum.accumulate(wanted[::-1])[::-1]) / 2 + steps
    return np.minimum(np.maximum(moved, steps), 1 - steps[::-1])


def add_legend(figure: Figure, axes: Iterable[Axes], without: Collection[object] = (), **where: Any) -> None:
    """Adds a legend with every label of some axes once, if any is left.

    Args:
        figure: The figure.
        axes: Its axes.
        without: The labels to leave out.
        where: The place and the columns, as matplotlib takes them.
    """
    found = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    handles = {label: handle for label, handle in found.items() if label not in without}
    if handles:
        figure.legend(list(handles.values()), list(handles), **(where or {"loc": "outside lower center", "ncols": min(6, len(handles))}))

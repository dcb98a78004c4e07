"""Labels of lines: at their right ends, in their colours, apart from each other; where they are many, in a legend."""

import numpy as np
import pytest
from matplotlib.text import Annotation

from bench.render import plots
from bench.render.line_labels import MOST, SIZE, label_lines, spread


def draw(count: int, ends: tuple[int, ...] = (10,)):
    """Returns a figure with lines that end alike, after its labels were placed."""
    figure = plots.new_figure(6, 4)
    axis = figure.subplots()
    for k in range(count):
        axis.plot([0, ends[k % len(ends)]], [k, 1e-3 * k], label=f"line {k}", color=plots.cycle_color(k))
    axis.plot([], [], label="dotted: float16", linestyle=":")
    axis.fill_between([0, 1], [0, 1], label="all of them")
    label_lines(figure, [axis])
    notes = [child for child in axis.get_children() if isinstance(child, Annotation)]
    return figure, axis, notes


def test_each_line_has_its_name_in_its_colour_and_none_overlap():
    figure, axis, notes = draw(MOST)
    assert [(note.get_text(), note.get_color()) for note in notes] == [(f"line {k}", plots.cycle_color(k)) for k in range(MOST)]
    heights = np.sort([note.get_position()[1] * axis.bbox.height for note in notes])
    assert (np.diff(heights) >= SIZE * figure.dpi / 72).all() and heights[0] >= 0 and heights[-1] <= axis.bbox.height
    boxes = [note.get_window_extent() for note in notes]
    assert all(0.9 * axis.bbox.width < box.x0 - axis.bbox.x0 and box.x1 < figure.bbox.width for box in boxes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["dotted: float16", "all of them"]


def test_labels_stand_beside_the_last_end():
    """Lines that end early have their names there, not at the edge of the axes."""
    figure = plots.new_figure(6, 4)
    axis = figure.subplots()
    axis.plot([0, 100], [0, 0])
    axis.plot([0, 10], [0, 1], label="early")
    axis.plot([0, 10], [0, np.nan], label="diverged")
    axis.plot([0, 30], [0, 0], color=axis.get_lines()[1].get_color())
    label_lines(figure, [axis])
    places = {note.get_text(): note.get_position() for note in axis.get_children() if isinstance(note, Annotation)}
    assert 0.3 < places["early"][0] < 0.4 and places["early"][1] > 0.9 and places["diverged"][1] < 0.1


def test_many_lines_are_in_a_legend():
    figure, _, notes = draw(MOST + 1)
    assert not notes and len(figure.legends[0].get_texts()) == MOST + 3


def test_what_has_no_line_has_no_label():
    figure = plots.new_figure(6, 4)
    label_lines(figure, [figure.subplots()])
    assert not figure.legends


@pytest.mark.parametrize("heights", [[0.1, 0.5, 0.9], [0.5, 0.5, 0.5], [0.0, 0.0, 1.0], [0.99, 1.0, 1.0], [0.2, 0.21, 0.22]])
def test_spread(heights):
    found = spread(np.array(heights), 0.1)
    assert (np.diff(found) >= 0.1 - 1e-9).all() and found.min() >= 0 and found.max() <= 1
    if np.diff(heights).min() >= 0.1:
        assert np.allclose(found, heights)

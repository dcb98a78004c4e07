"""Plots: what is drawn, and that it is the same each time."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import matplotlib
import pytest

from bench.records.backend_table import NAMES as BACKENDS
from bench.render import plots, run_report, svg
from tests.records import case, gradient, records, timed, whole


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return run_report.draw_plots(tmp_path_factory.mktemp("plots"), whole())


@pytest.mark.full
def test_the_same_records_give_the_same_bytes(drawn, tmp_path):
    assert [path.name for path in drawn] == ["speeds.svg", "throughput.svg", "memory.svg", "gradients.svg"]
    for one, two in zip(drawn, run_report.draw_plots(tmp_path, whole()), strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert ET.parse(one).getroot().tag.endswith("svg")
        assert b"<dc:date>" not in one.read_bytes()


def test_every_cell_and_backend_is_in_the_picture(drawn):
    text = drawn[1].read_text()
    for name in ("cfn", "minimal_deep", "vanilla_relu", "compiled", "eager", "torchrecurrent", "vendor's gru"):
        assert f">{name}</text>" in text
    assert ">stepwise</text>" not in text and "<title>minimal_deep, compiled, T=16: " in text
    assert ">gru_reset_before</text>" in drawn[3].read_text()


def test_a_picture_is_small_and_names_nothing_twice(drawn):
    """Nothing of matplotlib's own stays in it: no metadata, no id but of what is used, no digits that nobody sees."""
    for path in drawn:
        text = path.read_text()
        assert (
            len(text) < 30_000
            and "matplotlib" not in text.lower()
            and not re.search(r"\.\d{4}", re.sub("<title>[^<]*|viewBox=[^>]*", "", text))
        )
        names = re.findall(r'\sid="([^"]*)"', text)
        assert len(set(names)) == len(names) and all(name.startswith(path.stem) for name in names)
        assert {name for name in names if f"#{name}" not in text} == set()


def test_paths_are_relative_and_short():
    assert svg.compact_path("M 10 10.04 \nL 12.5 10.01 \nL 12.51 10 \nL 0 0 \nz\n") == "M10 10l2.5 0-12.5-10z"
    assert svg.compact_path("M 1 1 C 1 2 3 4 5.55 6", y=1.0) == "M1 2c0 1 2 3 4.6 5"
    assert svg.compact_path("M 1 1 \nM 2 2 \n") == ""
    assert [svg.format_coordinate(value) for value in (3.0, "-0.51", "0.04", "9px", 10)] == ["3", "-.5", "0", "9", "10"]


def test_as_many_values_as_marks_are_told(tmp_path):
    with matplotlib.rc_context(plots.STYLE):
        figure = plots.new_figure(3, 3)
        plots.set_titles(figure.subplots().plot([1, 2], [1, 2], marker="o"), ["a & b", "c"])
        assert "<title>a &amp; b</title>" in plots.save_figure(figure, "x", tmp_path / "x.svg").read_text()
        plots.set_titles(figure.axes[0].plot([1, 2], [1, 2], marker="o"), ["a", "b", "c"])
        with pytest.raises(ValueError, match="3 values for 2 marks"):
            plots.save_figure(figure, "x", tmp_path / "x.svg")


def luminance(color: str) -> float:
    """The relative luminance of WCAG 2."""
    parts = [int(color[k : k + 2], 16) / 255 for k in (1, 3, 5)]
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in parts]
    return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_colours_can_be_seen_on_both_grounds():
    """Series stand out from the ground by 2.8, letters by 7."""
    for name, pair in svg.PALETTE.items():
        for color, ground in zip(pair, svg.PALETTE["g"], strict=True):
            low, high = sorted((luminance(color), luminance(ground)))
            least = 7 if name == "k" else 1 if name in "gr" else 2.8
            assert (high + 0.05) / (low + 0.05) >= least, (name, color)


def test_every_backend_has_a_look_of_its_own():
    """And one of a user's has, too."""
    names = [*(name for name in BACKENDS if not name.endswith("-low")), "mine.py:fast"]
    assert len({tuple(plots.choose_style(name).values()) for name in names}) == len(names)


def test_a_plot_without_data_is_left_out(tmp_path):
    assert run_report.draw_plots(tmp_path, records()) == []
    assert run_report.draw_plots(tmp_path, records(timed(case(), status="oom"), timed(case(mode="inference"), 1.0))) == []
    zero = gradient("lstm", 4).model_copy(update={"by_lag": [0.0] * 5})
    assert run_report.draw_plots(tmp_path, records(gradients=(zero, zero.model_copy(update={"by_lag": []})))) == []
    assert list(tmp_path.iterdir()) == []


def test_one_sample_of_one_case_is_enough(tmp_path):
    assert [path.name for path in run_report.draw_plots(tmp_path, records(timed(case(), 1.0)))] == ["throughput.svg"]


def test_an_unknown_backend_has_a_colour(tmp_path):
    assert run_report.draw_plots(tmp_path, records(timed(case(backend="mine"), 1.0), timed(case(backend="yours"), 2.0)))


def test_published_pictures_are_small():
    """All of them together: they are cloned with the repository."""
    sizes = {path: path.stat().st_size for path in (Path(__file__).parents[1] / "reports").glob("*/*.svg")}
    assert sum(sizes.values()) < 2.5e6 and max(sizes.values()) < 150_000, sorted(sizes.items(), key=lambda item: -item[1])[:5]

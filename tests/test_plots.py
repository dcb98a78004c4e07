"""Plots: what is drawn, and that it is the same each time."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from bench.records.backend_table import NAMES as BACKENDS
from bench.render import plots, run_report
from tests.records import case, gradient, records, timed, whole


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return run_report.draw(tmp_path_factory.mktemp("plots"), whole())


def test_the_same_records_give_the_same_bytes(drawn, tmp_path):
    assert [path.name for path in drawn] == ["speeds.svg", "throughput.svg", "memory.svg", "gradients.svg"]
    for one, two in zip(drawn, run_report.draw(tmp_path, whole()), strict=True):
        assert one.read_bytes() == two.read_bytes()
        assert ET.parse(one).getroot().tag.endswith("svg")
        assert b"<dc:date>" not in one.read_bytes()


def test_every_cell_and_backend_is_in_the_picture(drawn):
    text = drawn[1].read_text()
    for name in ("cfn", "minimal_deep", "vanilla_relu", "compiled", "eager", "torchrecurrent", "vendor's gru"):
        assert f"<!-- {name} -->" in text
    assert "<!-- stepwise -->" not in text
    assert "<!-- gru_reset_before -->" in drawn[3].read_text()


def test_every_backend_has_a_look_of_its_own():
    """And one of a user's has, too."""
    names = [*(name for name in BACKENDS if not name.endswith("-low")), "mine.py:fast"]
    assert len({tuple(plots.style(name).values()) for name in names}) == len(names)


def test_a_plot_without_data_is_left_out(tmp_path):
    assert run_report.draw(tmp_path, records()) == []
    assert run_report.draw(tmp_path, records(timed(case(), status="oom"), timed(case(mode="inference"), 1.0))) == []
    zero = gradient("lstm", 4).model_copy(update={"by_lag": [0.0] * 5})
    assert run_report.draw(tmp_path, records(gradients=(zero, zero.model_copy(update={"by_lag": []})))) == []
    assert list(tmp_path.iterdir()) == []


def test_one_sample_of_one_case_is_enough(tmp_path):
    assert [path.name for path in run_report.draw(tmp_path, records(timed(case(), 1.0)))] == ["throughput.svg"]


def test_an_unknown_backend_has_a_colour(tmp_path):
    assert run_report.draw(tmp_path, records(timed(case(backend="mine"), 1.0), timed(case(backend="yours"), 2.0)))

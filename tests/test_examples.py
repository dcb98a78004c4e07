"""The examples in docs/examples/: each runs by itself, and the pages that show one hold the same text."""

import runpy
from pathlib import Path

import pytest
import torch

import cells
from bench.measure.backends import build_workload, load_user_backend
from bench.measure.problem import Problem
from bench.site.documents import FILE, insert_files
from kernels.layer.select import SCHEDULES, names

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip() and "plain" not in SCHEDULES


def test_pages_show_the_files(request):
    """With --write-golden they are written again."""
    shown = set()
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        if request.config.getoption("--write-golden"):
            page.write_text(insert_files(text, DOCS))
        assert page.read_text() == insert_files(text, DOCS), page.name
        shown |= {DOCS / found[2] for found in FILE.finditer(text)}
    assert shown == set(EXAMPLES)


def test_a_backend_of_a_file_is_one_of_a_run():
    problem = Problem("lstm", cells.load("lstm"), 3, 2, 4, 5, torch.float32, torch.device("cpu"), seed=0)
    mine, reference = (
        make(problem).answer()
        for make in (load_user_backend(f"{DOCS / 'examples' / 'backend.py'}:scripted"), lambda p: build_workload("eager", p))
    )
    assert torch.allclose(mine.outputs[0], reference.outputs[0], atol=1e-6)


def test_a_schedule_of_ones_own_is_a_backend_of_a_layer(monkeypatch):
    monkeypatch.setitem(SCHEDULES, "plain", None)
    assert names()[-1] == "plain"

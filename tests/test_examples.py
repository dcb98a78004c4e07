"""The examples in docs/examples/: each runs by itself, and the pages that show one hold the same text."""

import runpy
import sys
import types
from pathlib import Path

import pytest
import torch

import cells
from bench.measure.backends import build_workload, load_user_backend
from bench.measure.problem import Problem
from bench.records import read_records
from bench.site.documents import FILE, insert_files
from kernels.layer.select import SCHEDULES, backend_names
from tests.command_line import bench
from tests.inline import Inline

__all__ = ["bench"]

DOCS = Path(__file__).parents[1] / "docs"
EXAMPLES = sorted((DOCS / "examples").glob("*.py"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_an_example_runs(path, capsys, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])  # pytest's own arguments are none of it
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out.strip() and "plain" not in SCHEDULES and not [*tmp_path.iterdir()]


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


def test_a_training_goes_on_from_torchs_checkpoint(tmp_path):
    """Unchanged but for the import, and by either layer from the checkpoint of the other: the same losses."""
    text = (DOCS / "examples" / "resume.py").read_text()
    train = []
    for source in (text.replace("from kernels import LSTM", "from torch.nn import LSTM"), text):
        train.append(names := {"__name__": "resume"})
        exec(source, names)
    threads = torch.get_num_threads()
    torch.set_default_dtype(torch.float64)
    torch.set_num_threads(1)
    try:
        right = train[0]["train"](8)
        for begin, end in (train, train[::-1]):
            path = tmp_path / f"{begin is train[0]}.pt"
            found = begin["train"](4, path) + end["train"](8, path)
            assert all(abs(a - b) < 1e-5 for a, b in zip(found, right, strict=True))
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_num_threads(threads)


def test_a_backend_of_a_file_is_one_of_a_run():
    problem = Problem("lstm", cells.load("lstm"), 3, 2, 4, 5, torch.float32, torch.device("cpu"), seed=0)
    mine, reference = (
        make(problem).answer()
        for make in (load_user_backend(f"{DOCS / 'examples' / 'backend.py'}:scripted"), lambda p: build_workload("eager", p))
    )
    assert torch.allclose(mine.outputs[0], reference.outputs[0], atol=1e-6)


def test_a_schedule_of_ones_own_is_a_backend_everywhere(bench, tmp_path, monkeypatch):
    """A schedule without a row in any list runs in layers, in a run, and in its table, report and plots."""
    schedule = types.ModuleType("plain")
    vars(schedule).update(runpy.run_path(str(DOCS / "examples" / "schedule.py")))
    monkeypatch.setitem(SCHEDULES, "plain", schedule)
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    assert backend_names()[-1] == "plain"
    asked = ("--cells", "gru,gru_reset_before", "--backends", "vendor,plain,plain-low", "--seq-lens", "2,3", "--device", "cpu")
    code, out, err = bench("all", "--quick", *asked, "--out", tmp_path / "run")
    assert code == 0 and "plain" in out, err
    status = {(r.case.cell, r.case.backend): r.status for r in read_records(tmp_path / "run").cases}
    assert status["gru", "plain"] == status["gru", "plain-low"] == "ok" and status["gru_reset_before", "plain"] == "unsupported"
    assert "| plain" in (tmp_path / "run" / "report.md").read_text()
    assert any("plain" in path.read_text() for path in (tmp_path / "run").glob("throughput*.svg"))

"""A run of a suite, from end to end: its budget, resuming it, and cases that fail."""

import errno
import json
import re
import sys
import time
from collections import Counter

import pytest

from bench.harness import runner
from bench.harness.suites import SUITES, Shape
from bench.measure import environment
from bench.records import read_records
from tests.command_line import bench
from tests.inline import Inline
from tests.records import ENVIRONMENT

__all__ = ["bench"]


@pytest.fixture
def tiny(monkeypatch):
    """A suite of three sizes, in two groups, that takes no time."""
    sizes = (("lstm", 6, 2, 8), ("minimal", 5, 3, 12), ("gru", 5, 3, 12))
    shapes = tuple(Shape(cell, T, B, H, H, "float16") for cell, T, B, H in sizes)
    monkeypatch.setitem(SUITES, "crossover", shapes)
    monkeypatch.setattr(environment, "read_environment", lambda device, quick: ENVIRONMENT)
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    return "all", "--suite", "crossover", "--quick", "--backends", "compiled,vendor", "--device", "cpu"


def outcomes(folder):
    found = read_records(folder).cases
    assert len({r.case for r in found}) == len(found)
    return {r.case: r.status for r in found}


def test_a_suite_from_end_to_end(bench, tiny, tmp_path):
    code, out, err = bench(*tiny, "--out", tmp_path / "run")
    assert code == 0 and "--quick: the 3 smallest shapes of crossover, in float32 on a CPU" in err
    found = outcomes(tmp_path / "run")
    assert {(c.cell, c.T, c.B, c.H) for c in found if not c.matched_params_of} == {
        ("lstm", 6, 2, 8),
        ("minimal", 5, 3, 12),
        ("gru", 5, 3, 12),
    }
    assert set(found.values()) == {"ok", "unsupported"} and not read_records(tmp_path / "run").gradients
    table = (tmp_path / "run" / "report.md").read_text()
    assert "| cell    |   T |   B |   H |" in table and "the geometric mean of 2 cases" in table
    assert "nfinished" not in table
    assert re.search(r"^cell +T +B +H +vendor +compiled", out, re.M)


def test_a_budget_leaves_out_and_resume_goes_on(bench, tiny, tmp_path, monkeypatch):
    """Interrupted by its budget and resumed, a run holds what an uninterrupted one does; a third finds nothing to do."""
    assert bench(*tiny, "--out", tmp_path / "whole")[0] == 0
    honest, now = runner.Runner.time_group, [time.monotonic()]

    def slow(self, job):
        honest(self, job)
        now[0] += 7200

    monkeypatch.setattr(runner.Runner, "time_group", slow)
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    code, out, err = bench(*tiny, "--budget", "1h", "--out", tmp_path / "cut")
    assert code == 0 and "left out for lack of time, 15 cases: minimal, gru T=5 B=3 H=12 float32" in err
    assert Counter(outcomes(tmp_path / "cut").values())["skipped"] == 15 and "15 skipped" in out
    text = (tmp_path / "cut" / "report.md").read_text()
    assert "left out: the budget was spent" in text and "minimal" in text
    assert re.search(r"\n\*\*Unfinished: \d+ of \d+ planned cases\.\*\* ", text) and "unfinished: " in out
    monkeypatch.setattr(runner.Runner, "time_group", honest)
    first = (tmp_path / "cut" / "records.jsonl").read_bytes()
    assert bench(*tiny, "--resume", "--out", tmp_path / "cut")[0] == 0
    second = (tmp_path / "cut" / "records.jsonl").read_bytes()
    assert second.startswith(first), "records are only appended"
    assert outcomes(tmp_path / "cut") == outcomes(tmp_path / "whole")
    assert bench(*tiny, "--resume", "--budget", "1s", "--out", tmp_path / "cut")[0] == 0
    assert (tmp_path / "cut" / "records.jsonl").read_bytes() == second


@pytest.mark.full
def test_a_group_cut_short_is_measured_again_whole(bench, tiny, tmp_path):
    """Its cases are compared round by round: those of two sittings must not be."""
    assert bench(*tiny, "--out", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = outcomes(tmp_path / "run"), path.read_text().splitlines(keepends=True)
    gone = next(k for k, line in enumerate(lines) if '"cell":"lstm"' in line and '"status":"ok"' in line)
    path.write_text("".join(lines[:gone] + lines[gone + 1 :]))
    assert bench(*tiny, "--resume", "--out", tmp_path / "run")[0] == 0
    added = [json.loads(line)["case"] for line in path.read_text().splitlines()[len(lines) - 1 :] if '"kind":"case"' in line]
    assert {c["cell"] for c in added} == {"lstm"} and len(added) == sum(c.cell == "lstm" for c in whole)
    assert outcomes(tmp_path / "run") == whole


CHANGES = {
    "was measured with quick False, not True": lambda text: text.replace('"quick":true', '"quick":false', 1),
    "was measured with torch 1.": lambda text: text.replace('"torch":"', '"torch":"1.', 1),
    "doesn't say how": lambda text: text.replace('"settings":{', '"settings":{},"ignored":{', 1).split(',"ignored"')[0] + "}\n",
    "cut short": lambda text: text.replace("gates", "ga\n tes", 1),
}


def test_only_the_same_run_is_resumed(bench, tiny, tmp_path):
    path = tmp_path / "run" / "records.jsonl"
    assert bench(*tiny, "--cells", "lstm", "--out", path.parent)[0] == 0
    whole = path.read_text()
    for says, change in CHANGES.items():
        path.write_text(change(whole))
        before = path.read_bytes()
        code, _, err = bench(*tiny, "--cells", "lstm", "--resume", "--out", path.parent)
        assert code == 2 and says in err.splitlines()[-1] and path.read_bytes() == before


def test_a_run_of_one_size_is_resumed_with_its_gradients(bench, tmp_path):
    quick = ("all", "--quick", "--cells", "vanilla", "--backends", "compiled,stepwise", "--seq-lens", "2,3", "--device", "cpu")
    assert bench(*quick, "--out", tmp_path / "run")[0] == 0
    path = tmp_path / "run" / "records.jsonl"
    whole, lines = read_records(path), path.read_text().splitlines(keepends=True)
    path.write_text("".join(lines[:3]))
    assert bench(*quick, "--resume", "--out", tmp_path / "run")[0] == 0
    again = read_records(path)
    assert {(r.case, r.status) for r in again.cases} == {(r.case, r.status) for r in whole.cases}
    assert again.gradients == whole.gradients


def test_the_gpu_is_lost_and_the_run_goes_on_without_the_case(bench, tiny, tmp_path, monkeypatch):
    def build(backend, problem, input_product=True):
        if (backend, problem.cell.name, input_product) == ("compiled", "lstm", True):
            raise RuntimeError("CUDA error: an illegal memory access was encountered\nmore")
        return honest(backend, problem, input_product)

    honest = runner.build_workload
    monkeypatch.setattr(runner, "build_workload", build)
    monkeypatch.setattr(runner, "is_gpu_lost", lambda device: True)
    assert bench(*tiny, "--out", tmp_path / "run")[0] == 0
    crashed = [r for r in read_records(tmp_path / "run").cases if r.status == "crashed"]
    assert {(r.case.backend, r.case.mode) for r in crashed} == {("compiled", "training"), ("compiled", "inference")}
    assert {r.reason for r in crashed} == {"RuntimeError: CUDA error: an illegal memory access was encountered"}
    assert Counter(outcomes(tmp_path / "run").values())["ok"] > 8


def test_a_disk_that_is_full_from_the_start(bench, tiny, tmp_path, monkeypatch):
    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("bench.harness.run.write_record", fail)
    code, _, err = bench(*tiny, "--out", tmp_path / "full")
    assert code == 2 and err.endswith("No space left on device; make room and start again\n") and not (tmp_path / "full").exists()


@pytest.mark.full
def test_without_what_renders_it_still_measures(bench, tiny, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for name in ("run_report", "plots", "length_plots"):
        monkeypatch.delitem(sys.modules, f"bench.render.{name}")
        monkeypatch.delattr(f"bench.render.{name}")
    code, _, err = bench(*tiny, "--out", tmp_path / "run")
    assert code == 0 and "matplotlib is not installed here" in err and f"python -m bench report {tmp_path / 'run'}" in err
    assert outcomes(tmp_path / "run")


@pytest.mark.full
def test_a_run_has_a_name_and_as_many_samples_as_asked_for(bench, tmp_path, monkeypatch):
    """Its folder's name ends with its own. The samples are those of each build, of which a quick run has two."""
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    monkeypatch.chdir(tmp_path)
    quick = ("all", "--quick", "--cells", "vanilla", "--backends", "vendor", "--seq-lens", "2", "--batch", "2,3", "--device", "cpu")
    assert bench(*quick, "--samples", "7", "--name", "mine")[0] == 0
    (folder,) = (tmp_path / "reports").iterdir()
    found = read_records(folder)
    assert folder.name.endswith("-mine") and found.run.name == "mine"
    assert {(r.case.B, *r.builds) for r in found.cases if r.status == "ok"} == {(2, *[0] * 7, *[1] * 7), (3, *[0] * 7, *[1] * 7)}
    assert [(g.T, g.B) for g in found.gradients] == [(2, 2)]

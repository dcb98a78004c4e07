"""A folder of published runs, for the tests of their index and their site: one machine three times, a GPU, and a run of trainings."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from bench.records import CaseRecord, Records
from bench.render import run_report
from bench.render.published import read_published
from bench.site.build import build_site
from bench.site.equations import read_sources
from tests.records import RUN, detailed, lines, whole
from tests.test_training_metrics import whole as trainings

CELLS = ("gru", "lstm", "minimal")


def speeds(month: int, slower: float = 1.0, **changes: object) -> Records:
    """A run of three cells in a month, where compiled cells but lstm take so many times as long as in others."""
    found = whole()
    here = RUN.environment.model_copy(update={"commit": f"{month}" * 12, **changes})
    run = RUN.model_copy(update={"environment": here, "started": f"2026-{month:02}-01T12:00:00Z"})
    cases = [scaled(r, slower) for r in found.cases if r.case.cell in CELLS and r.case.T in (16, 128)]
    return Records(run=run, cases=cases, gradients=[g for g in found.gradients if g.cell in CELLS])


def begun(month: int, found: Records) -> Records:
    return found.model_copy(update={"run": found.run.model_copy(update={"started": f"2026-{month:02}-01T12:00:00Z"})})


def scaled(record: CaseRecord, slower: float) -> CaseRecord:
    if record.case.backend != "compiled" or record.case.cell == "lstm":
        return record
    return record.model_copy(update={"samples": [slower * sample for sample in record.samples]})


RUNS = {
    "2026-01-first": speeds(1),
    "2026-02-slower": speeds(2, 1.25, torch="2.13.1+cpu"),
    "2026-03-as-slow": speeds(3, 1.25, torch="2.13.1+cpu"),
    "2026-04-gpu": begun(4, detailed()),
    "2026-05-learning": begun(5, trainings()),
    "2026-06-signals": begun(6, Records(run=RUN, cases=[], gradients=whole().gradients)),
}


def publish(reports: Path) -> Path:
    """Write the runs and their pictures into a folder."""
    for name, found in RUNS.items():
        (reports / name).mkdir(parents=True)
        text = lines(found) + "".join(line.model_dump_json() + "\n" for line in (*found.training, *found.learned))
        (reports / name / "records.jsonl").write_text(text)
        run_report.draw_plots(reports / name, found)
    return reports


@pytest.fixture(scope="session")
def reports(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of published runs, written once for all processes that run tests; nothing may write into it."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    with FileLock(shared / "publications.lock"):
        if not (shared / "publications").exists():
            publish(shared / "writing").rename(shared / "publications")
    return shared / "publications"


@pytest.fixture(scope="session")
def built(reports: Path) -> Path:
    """Their site, built once for all processes that run tests."""
    with FileLock(reports.with_name("site.lock")):
        if not (out := reports.with_name("site")).exists():
            cells = read_sources(Path(__file__).parents[1] / "cells")
            made = reports.with_name("building")
            build_site(read_published(reports), cells, {"gru": "def step(a, b): return a < b"}, made, lambda words: None)
            made.rename(out)
    return out

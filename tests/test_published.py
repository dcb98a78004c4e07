"""The index of published runs: up to date, and a headline for each kind."""

import math
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli import app
from bench.records import DecayRecord, Plan, Records, ScaleRecord, TheoryRecord
from bench.render import run_report
from bench.render.index import render_index
from bench.render.published import Published, read_published
from tests.publications import RUNS, reports
from tests.records import RUN
from tests.test_training_metrics import record

__all__ = ["reports"]

REPORTS = Path(__file__).parents[1] / "reports"


@pytest.fixture(scope="module")
def runs(reports) -> list[Published]:
    return read_published(reports)


def test_the_committed_index_is_up_to_date():
    assert (REPORTS / "README.md").read_text() == render_index(read_published(REPORTS)), "python -m bench publish --index writes it again"


def test_the_newest_comes_first_and_every_kind_has_a_headline(runs):
    assert [(run.name, run.kind) for run in runs] == [
        ("2026-06-signals", "signals"), ("2026-05-learning", "learning"), ("2026-04-gpu", "speed"), ("2026-03-as-slow", "speed"),
        ("2026-02-slower", "speed"), ("2026-01-first", "speed"),
    ]  # fmt: skip
    said = {run.name: run.headline for run in runs}
    assert said["2026-06-signals"] == (
        "Gradients over lag, default initialisation: minimal -0.0200, lstm -0.0700, gru -0.2000, gru_reset_before -0.2000, "
        "minimal_deep -0.2000, vanilla -0.2000, cfn -0.3100, vanilla_relu -0.9000 nats per step (too few seeds for an interval)."
    )
    assert said["2026-05-learning"].startswith("**recommend, at equal hidden width: gru has the best MAP@20 on the test data**: gru 0.0990")
    assert said["2026-01-first"].startswith("**compiled trains 1.")


def test_ratios_are_geometric_means_of_what_is_no_baseline(runs):
    first, slower = (next(run for run in runs if run.name == name) for name in ("2026-01-first", "2026-02-slower"))
    (was,), (now,) = first.find_means("training", "same"), slower.find_means("training", "width")
    assert (was.backend, was.cases) == ("compiled", 4) and (now.backend, now.cases) == ("compiled", 2)
    assert first.find_means("training", "width")[0].value == pytest.approx(1.25 * now.value)
    assert first.find_means("backward", "same") == []


def test_a_row_for_each(runs):
    text = render_index(runs)
    rows = [line for line in text.splitlines() if line.startswith("| [")]
    assert len(rows) == len(RUNS) and len({line.count("|") for line in text.splitlines() if line.startswith("|")}) == 1
    assert "commit 111111111 |" in text and "(compiled, 4)" in rows[-1] and "AMD EPYC 7B13, 2 threads, torch 2.13.1+cpu" in text
    assert "No run is published yet." in render_index([])


def test_what_git_does_not_know_is_not_published(tmp_path, capsys, reports):
    shutil.copytree(reports, tmp_path, dirs_exist_ok=True)
    with (tmp_path / "2026-01-first" / "records.jsonl").open("a") as stream:
        stream.write(Plan(unit="case", count=999).model_dump_json() + "\n")
    for command in (["init", "-q"], ["add", "2026-01-first"]):
        subprocess.run(["git", "-C", str(tmp_path), *command], check=True)
    assert [run.name for run in read_published(tmp_path)] == ["2026-01-first"]
    app(["publish", "--reports", str(tmp_path), "--index"], standalone_mode=False)
    said = capsys.readouterr().err
    count = len(RUNS["2026-01-first"].cases)
    assert f"2026-01-first is unfinished: {count} of 999 planned cases, and marked so\n" in said
    assert f"**Unfinished: {count} of 999 planned cases.** " in (tmp_path / "README.md").read_text()
    assert said.count("left out: ") == len(RUNS) - 1 and "wrote " in said and "README.md: 1 run\n" in said


def test_trainings_that_ended_nowhere_have_a_headline():
    lost = RUNS["2026-05-learning"].model_copy(update={"training": [record("gru", final=math.nan)], "learned": []})
    assert Published(Path("lost"), lost).headline == "**recommend, at equal hidden width: no cell ended with a finite value.**"


def test_a_run_of_several_ranks_has_a_headline():
    def ranks(count: int, seconds: float) -> ScaleRecord:
        known = {"cell": "gru", "scaling": "weak", "T": 4, "B": 8, "D": 8, "H": 8, "exchange": "gloo", "threads": 1, "status": "ok"}
        return ScaleRecord.model_validate(known | {"ranks": count, "step": [seconds] * 6, "alone": [seconds] * 6})

    run = Published(Path("scale"), Records(run=RUN, cases=[], gradients=[], scale=[ranks(1, 0.8), ranks(2, 1.0)]))
    assert run.kind == "scaling"
    assert run.headline == "**`gru` trains on 2 ranks at 80% [80%, 80%] of 2 times the speed of one rank**, weak scaling."
    assert run_report.render_report(run.records, ["scale.svg"]).split("\n\n")[1] == run.headline


def test_studies_of_signals_have_a_headline_each():
    theory = {"cell": "gru", "w": 1, "v": 1, "mu": 0, "phi": 1, "N": 8, "seed": 0, "q": 1, "Q": 1, "chi": 0.5, "xi": 1.4}
    decay = {"T": 4, "B": 3, "H": 2, "seed": 0, "times": [], "norm": [], "distance": []}
    found = Records(
        run=RUN, cases=[], gradients=[],
        theory=[TheoryRecord.model_validate(theory | {"untied": [math.log(value)] * 3}) for value in (0.505, 0.51, 0.55)],
        decays=[
            DecayRecord.model_validate(decay | {"cell": cell, "init": init, "exponent": exponents})
            for cell, init, exponents in (
                ("cfn", "default", [-0.1, -0.2, -0.1]), ("gru", "critical", [0.1, 0.11, 0.1]), ("gru", "default", [-math.inf] * 3),
            )
        ],
    )  # fmt: skip
    assert Published(Path("signals"), found).headline == (
        "**With weights drawn anew at each step, mean-field theory predicts a perturbation's growth with an error of 2.00% in the median, "
        "10.00% at most** (3 predictions). "
        "**Without input, a small difference is shown to grow in gru (critical)** (3 cases studied)."
    )


@pytest.mark.full
def test_one_bad_folder_stops_nothing(tmp_path, capsys, reports):
    """Empty records, records that are none, other records beside them, and a plot that is none."""
    published, reports = reports, tmp_path / "reports"
    for name in ("2026-01-first", "2026-02-slower"):
        shutil.copytree(published / name, reports / name)
    for name, words in (("2026-07-empty", ""), ("2026-07-notes", "# Notes\n"), ("2026-07-old", '{"kind": "run", "schema_version": 99}\n')):
        (reports / name).mkdir()
        (reports / name / "records.jsonl").write_text(words)
    (reports / "2026-01-first" / "records.jsonl.gz").write_bytes(b"something else")
    (reports / "2026-02-slower" / "speeds.svg").write_text("<svg")
    done = CliRunner().invoke(app, ["publish", "--reports", str(reports), "--out", str(tmp_path / "site")], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    assert [done.stderr.count(f"left out: {reports / name}") for name in ("2026-07-empty", "2026-07-notes", "2026-07-old")] == [1, 1, 1]
    assert "not compressed: " in done.stderr and (reports / "2026-01-first" / "records.jsonl").exists()
    assert (reports / "README.md").read_text() == render_index(read_published(reports)) and "2026-07" not in (
        reports / "README.md"
    ).read_text()
    assert "speeds.svg is no plot" in (tmp_path / "site" / "runs" / "2026-02-slower.html").read_text()

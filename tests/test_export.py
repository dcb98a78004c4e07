"""The forms that other programs read."""

import csv
import io
import json
import random
import subprocess
import sys

import pytest
from pytest_benchmark.stats import Stats

from bench.records import Records
from bench.render import benchmarks, export
from bench.render.case_rows import list_case_rows
from bench.render.table import write_rows
from bench.render.terminal import WIDTH, open_console
from tests.command_line import bench
from tests.records import case, detailed, lines, records, timed, whole

__all__ = ["bench"]


def table(found: Records) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(write_rows(list_case_rows(found)))))


def test_a_row_for_each_case():
    found = detailed()
    rows = table(found)
    assert [(row["backend"], row["status"]) for row in rows] == [(r.case.backend, r.status) for r in found.cases]
    vendor, stepwise, control, persistent, eager = rows[:5]
    assert float(stepwise["median_s"]) == pytest.approx(1e-3) and float(stepwise["speed"]) == pytest.approx(2)
    assert (stepwise["verdict"], stepwise["peer"], stepwise["outliers"], stepwise["stopped"]) == ("faster", "vendor gru", "2", "precise")
    assert (control["aa_repeat"], control["verdict"], vendor["verdict"], eager["verdict"], eager["speed"]) == ("True", "", "", "", "")
    assert (persistent["verdict"], persistent["throttled"]) == ("ambiguous", "power cap thermal")
    assert (stepwise["energy_j"], stepwise["launches"], stepwise["cold_s"], persistent["cold_s"]) == ("0.32", "64", "0.0012", "")
    oom = rows[5]
    assert (oom["status"], oom["reason"], oom["median_s"], oom["samples"]) == ("oom", "why oom", "", "0")


def test_a_reason_may_hold_anything():
    odd = 'a "b", c\nd; é'
    (row,) = table(records(timed(case(), status="failed", reason=odd)))
    assert row["reason"] == odd


def test_an_empty_run_is_a_header_at_most():
    assert table(records()) == [] and json.loads(export.to_json(benchmarks.build_document(records())))["benchmarks"] == []


def test_json_has_every_case_and_no_nan():
    found = detailed()
    text = export.to_json(benchmarks.build_document(found))
    made = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert len(made["benchmarks"]) + len(made["untimed"]) == len(found.cases)
    assert {b["extra_info"]["status"] for b in made["benchmarks"]} == {"ok"}
    assert {b["extra_info"]["status"]: b["extra_info"].get("reason") for b in made["untimed"]}["oom"] == "why oom"
    wrong = next(b for b in made["untimed"] if b["extra_info"]["status"] == "incorrect")
    assert wrong["extra_info"]["errors"]["output"] == "NaN"
    assert made["machine_info"]["device"] == "NVIDIA H100" and made["commit_info"] == {"id": "0123456789abcdef", "dirty": False}
    names = [b["fullname"] for b in made["benchmarks"]]
    assert len(set(names)) == len(names), "a control has a name of its own"
    assert len({b["group"] for b in made["benchmarks"]}) == 1


@pytest.mark.parametrize("n", [*range(1, 14), 50, 51])
def test_its_statistics_are_those_of_pytest_benchmark(n):
    draw = random.Random(n)
    for _ in range(20):
        theirs, samples = Stats(), [draw.lognormvariate(0, 1.5) for _ in range(n)]
        for sample in samples:
            theirs.update(sample)
        ours = benchmarks.compute_statistics(samples)
        assert ours.pop("data") == samples
        assert ours == {
            name: value if isinstance(value, str) else pytest.approx(value, rel=1e-12) for name, value in theirs.as_dict().items()
        }


def test_pytest_benchmark_compares_two(tmp_path):
    """Its own command line reads both and shows every timed case of either."""
    files = []
    for name, factor in (("0001_old", 1.0), ("0002_new", 1.5)):
        found = whole()
        cases = [r.model_copy(update={"samples": [factor * s for s in r.samples]}) for r in found.cases if r.case.T == 16]
        files.append(tmp_path / f"{name}.json")
        files[-1].write_text(export.to_json(benchmarks.build_document(found.model_copy(update={"cases": cases}))))
    command = [
        sys.executable,
        "-m",
        "pytest_benchmark",
        "compare",
        *map(str, files),
        "--csv",
        str(tmp_path / "out.csv"),
        "--group-by",
        "fullname",
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "Failed to load" not in done.stderr + done.stdout, done.stderr
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    timed_cases = [r for r in whole().cases if r.case.T == 16 and r.samples]
    assert len(rows) == 2 * len(timed_cases)
    one = [float(row["median"]) for row in rows if "training including the input projection::lstm[compiled T=16" in row["name"]]
    assert len(one) == 2 and max(one) / min(one) == pytest.approx(1.5, rel=1e-4)
    assert {row["param:cell"] for row in rows} == {r.case.cell for r in timed_cases}


def test_data_is_on_stdout_and_the_rest_is_not(bench, tmp_path):
    (tmp_path / "records.jsonl").write_text(lines(detailed()))
    for form, starts in (("--json", "{\n"), ("--csv", "cell,backend,"), ("--md", "# Recurrent cells on NVIDIA H100\n")):
        code, out, err = bench("report", tmp_path, form)
        assert code == 0 and out.startswith(starts) and err.startswith("wrote ") and err.count("\n") == 1
    code, out, _ = bench("report", tmp_path)
    assert code == 0 and out.startswith("NVIDIA H100, 2 threads")


def test_width_and_colour_where_there_is_no_terminal(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert open_console().width == WIDTH
    monkeypatch.setenv("COLUMNS", "77")
    assert open_console().width == 77
    monkeypatch.setenv("NO_COLOR", "1")
    assert open_console().no_color

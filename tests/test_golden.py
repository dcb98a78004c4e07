"""What every writer writes, byte for byte, held against the files in tests/golden.

Where a change is meant, `make test ARGS="tests/test_golden.py --write-golden"` writes them again: read the difference before you commit it.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.analysis.comparison import RunSet, compare
from bench.records import Records, read_records
from bench.render import comparison_tables, export, run_report
from tests.absent import without
from tests.records import detailed, lines, whole

GOLDEN = Path(__file__).parent / "golden"
FORMS = {"txt": "", "md": "md", "csv": "csv", "json": "json"}


@pytest.fixture
def golden(request, capsys, monkeypatch):
    """Hold what was written to stdout against a file."""
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("NO_COLOR", "1")

    def check(name: str) -> None:
        said, path = capsys.readouterr().out, GOLDEN / name
        if request.config.getoption("--write-golden"):
            path.write_text(said)
        assert rounded(said) == rounded(path.read_text())

    return check


def rounded(text: str) -> str:
    """With 14 digits of each number: the last ones are SciPy's and NumPy's, and differ from version to version."""
    return re.sub(r"-?\d+\.\d{14,}(e-?\d+)?", lambda found: f"{float(found[0]):.14g}", text)


@pytest.mark.parametrize("ending", FORMS)
def test_a_run(golden, ending):
    export.write_run(detailed(), FORMS[ending])
    golden(f"run.{ending}")


@pytest.mark.parametrize("ending", ["txt", "md"])
def test_a_run_of_the_first_schema(golden, ending):
    """Its records are from before controls, work, stop reasons, demand and constants."""
    export.write_run(read_records(GOLDEN / "schema1.jsonl"), FORMS[ending])
    golden(f"schema1.{ending}")


@pytest.mark.parametrize("ending", ["txt", "md"])
def test_a_run_of_the_second_schema(golden, ending):
    """Its records are from before the versions of packages."""
    export.write_run(read_records(GOLDEN / "schema2.jsonl"), FORMS[ending])
    golden(f"schema2.{ending}")


@pytest.mark.parametrize("ending", FORMS)
def test_a_comparison(golden, ending):
    comparison_tables.write_comparison(compare(RunSet("old", (detailed(),)), RunSet("new", (later(), later()))), FORMS[ending])
    golden(f"comparison.{ending}")


def later() -> Records:
    """The same run, where stepwise became slower, vendor faster, persistent cooler, eager ran out of memory, and one case is gone."""
    found = detailed()
    changes = {
        "stepwise": lambda r: {"samples": [1.2 * s for s in r.samples]},
        "persistent": lambda r: {"samples": [0.5 * s for s in r.samples], "readings": []},
        "vendor": lambda r: {"samples": [0.9 * s for s in r.samples]},
        "eager": lambda r: {"status": "oom", "reason": "out of memory"},
    }
    cases = [r.model_copy(update=changes[r.case.backend](r)) if r.status == "ok" and r.case.backend in changes else r for r in found.cases]
    return found.model_copy(update={"cases": [r for r in cases if r.status != "timeout"]})


SCRIPT = """
import sys
from pathlib import Path
from bench.records import read_records
from bench.render import export, run_report
folder = Path(sys.argv[1])
records = read_records(folder)
run_report.write_report(folder, records)
for form in ("", "json", "csv", "md"):
    export.write_run(records, form)
"""


@pytest.mark.full
def test_two_processes_write_the_same_bytes(tmp_path):
    """Plots too; with other hashes, another time zone, and neither torch nor triton."""
    written = []
    for seed, zone in (("1", "UTC"), ("2", "Asia/Tokyo")):
        folder = tmp_path / seed
        folder.mkdir()
        found = whole().model_copy(update={"cases": [r for r in whole().cases if r.case.cell in ("minimal", "gru") and r.case.T < 64]})
        (folder / "records.jsonl").write_text(lines(found))
        done = subprocess.run(
            [sys.executable, "-c", without("torch", "triton", "cells", "kernels", "sympy") + SCRIPT, str(folder)],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": zone}, cwd=GOLDEN.parents[1], capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr.decode()
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        written.append({str(path.relative_to(folder)): path.read_bytes() for path in files} | {"stdout": done.stdout})
    assert sorted(name for name in written[0] if not name.startswith("tables/")) == [
        "gradients.svg", "memory.svg", "records.jsonl", "report.md", "speeds.svg", "stdout", "table.svg", "throughput.svg",
    ]  # fmt: skip
    assert {"tables/cases.csv", "tables/memory.csv", "tables/not-timed.csv"} < written[0].keys()
    assert written[0] == written[1]
    plots = ["speeds.svg", "throughput.svg", "memory.svg", "gradients.svg"]
    assert written[0]["report.md"].decode() == run_report.render_report(read_records(tmp_path / "1"), plots), "as where torch is"

"""A campaign from its bundle to its report, on a CPU that stands in for a GPU: every step starts, ends, and leaves what it found.

With REHEARSAL_PYTHON the campaign runs under another Python, as on a machine that can install nothing.
"""

import importlib.util
import shutil
import subprocess
import sys
import tarfile

import pytest

from bench.harness.campaign import OVERDUE, STEPS, Outcome
from bench.records import read_records
from tests import rehearsal
from tests.pretended.seam import CRASH, FAIL

pytestmark = [
    pytest.mark.rehearsal,
    pytest.mark.skipif(importlib.util.find_spec("triton") is None or shutil.which("gcc") is None, reason="needs triton and a C compiler"),
    pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU"),
]
WRONG = "tests/test_gpu.py::test_the_same_bits_a_thousand_times[lstm]"


def test_both_calls_of_a_campaign(tmp_path):
    """Call 1 has a test that fails, and call 2 repeats it first, and a step that crashes, which takes no other with it."""
    place, found = rehearsal.prepared(tmp_path), tmp_path / "found"
    first = place.bench("campaign", "--call", "1", "--budget", "20m", "--out", found, **{FAIL: WRONG})
    assert first.returncode == 1 and "smoke ended with exit code 1" in first.stderr, first.stderr
    begun = len(rehearsal.objects(found / "steps.jsonl"))
    shutil.rmtree(place.tree / "kernels" / "tuned")  # another machine
    second = place.bench("campaign", "--call", "2", "--budget", "20m", "--out", found, **{CRASH: "scans"})
    assert second.returncode == 1 and "entries of the tables" in second.stderr, second.stderr

    shutil.rmtree(found)
    with tarfile.open(tmp_path / "found.tar.gz") as archive:
        archive.extractall(tmp_path / "elsewhere", filter="data")
    there = tmp_path / "elsewhere" / "found"
    outcomes = [Outcome(**line) for line in rehearsal.objects(there / "steps.jsonl")]
    codes = {outcome.name: outcome.code for outcome in outcomes}
    said = {step: (there / f"{step.replace(' ', '-')}.log").read_text()[-2000:] for step in codes}
    assert set(codes) == {"failed tests", *(step.name for step in STEPS)}
    late = {"tests": (1, OVERDUE)}  # it has the failing test too, if it comes to it in time
    wrong = {name: code for name, code in codes.items() if code and code not in late.get(name, ())}
    assert wrong == {"smoke": 1, "scans": -6}, [said[name] for name in wrong]
    assert outcomes[begun].name == "failed tests" and f"PASSED {WRONG}" in said["failed tests"]
    assert "0 passes to tune" in said["tune"] and "about to crash" in said["scans"]

    for name in ("headline", "full", "deepbench", "crossover"):
        records = read_records(there / name)
        assert records.cases and {record.status for record in records.cases} == {"ok"}
        assert records.run.environment.commit == place.commit
    rendered = [sys.executable, "-m", "bench", "report", there / "headline"]
    subprocess.run(rendered, cwd=rehearsal.ROOT, env=rehearsal.plain(), check=True, capture_output=True)
    assert "NVIDIA H100" in (there / "headline" / "report.md").read_text()

"""A case may do its worst: it ends in its own status, and every other case has its record."""

import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

from bench.records import read

ROOT = Path(__file__).parents[1]
HONEST = ("eager", "vendor")
EXPECTED = {
    "refuses": ("unsupported", "not on a Thursday"),
    "needs_too_much": ("oom", "Tried to allocate 8 EiB"),
    "asks_for_all": ("oom", ""),
    "raises": ("failed", "ValueError: a shape that can't be"),
    "exits": ("crashed", "ended with exit code 3"),
    "crashes": ("crashed", "killed by SIGSEGV"),
    "dies_when_timed": ("crashed", "killed by SIGKILL"),
    "hangs": ("timeout", "took longer than 12 s"),
    "wrong": ("incorrect", "outputs are off by"),
    "not_a_number": ("incorrect", "outputs are off by inf"),
    "wrong_without_gradients": ("incorrect", "outputs without gradients"),
    "spoils_inputs": ("incorrect", "changes what it is given: h"),
    "remembers": ("incorrect", "after the timing"),
    "finishes_late": ("incorrect", "outputs without gradients"),
}


def command(*more: object) -> list[str]:
    return [sys.executable, "-m", "bench", "all", "--quick", "--cells", "vanilla", "--seq-lens", "2", "--device", "cpu", *map(str, more)]


def test_every_fault_ends_in_its_own_status(tmp_path):
    backends = ",".join([*HONEST, *(f"tests/faults.py:{name}" for name in EXPECTED)])
    done = subprocess.run(
        command("--backends", backends, "--timeout", "12s", "--out", tmp_path / "run"),
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    records = read(tmp_path / "run").cases
    assert len(records) == 2 * (len(HONEST) + len(EXPECTED)) + 1, "every case has one record, and the control"
    for record in records:
        name = record.case.backend.rpartition(":")[2]
        if name in HONEST or (name == "remembers" and record.case.mode == "training"):
            assert record.status == "ok" and record.samples and record.stopped
        else:
            status, reason = EXPECTED[name]
            assert record.status == status and reason in record.reason and not record.samples, (name, record.status, record.reason)
            assert "\n" not in record.reason
    counts = Counter(record.status for record in records)
    for status, count in counts.items():
        assert f"{count} {status}" in " ".join(done.stdout.split())


def outcomes(folder: Path) -> dict[object, str]:
    records = read(folder)
    found = {record.case: record.status for record in records.cases}
    assert len(found) == len(records.cases)
    return found | {(record.cell, record.T): "gradients" for record in records.gradients}


@pytest.mark.parametrize("moments", [2, pytest.param(10, marks=pytest.mark.soak)])
def test_killed_at_random_moments_and_resumed_it_ends_the_same(tmp_path, moments):
    given = ("--cells", "vanilla,minimal", "--backends", "eager,vendor,compiled,stepwise,tests/faults.py:raises", "--seq-lens", "2,3")
    begin = time.monotonic()
    subprocess.run(command(*given, "--out", tmp_path / "whole"), cwd=ROOT, check=True, capture_output=True)
    took, draw = time.monotonic() - begin, random.Random(moments)
    for number in range(moments):
        folder = tmp_path / f"cut{number}"
        run = subprocess.Popen(command(*given, "--resume", "--out", folder), cwd=ROOT, stderr=subprocess.DEVNULL)
        try:
            run.wait(draw.uniform(0.2, 0.95) * took)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
        again = command(*given, "--resume", "--out", folder)
        done = subprocess.run(again, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        assert outcomes(folder) == outcomes(tmp_path / "whole")


def test_killed_in_the_middle_of_a_line_and_resumed(tmp_path):
    """What a process that is killed may leave: a part of a line. It is dropped, said, and measured again."""
    given = ("--backends", "eager", "--out", tmp_path / "run")
    subprocess.run(command(*given), cwd=ROOT, check=True, capture_output=True)
    path = tmp_path / "run" / "records.jsonl"
    lines, before = path.read_bytes().splitlines(keepends=True), outcomes(tmp_path / "run")
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:100])
    done = subprocess.run(command(*given, "--resume"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "its last line was cut short" in done.stderr
    assert outcomes(tmp_path / "run") == before
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_two_runs_at_once_are_refused(tmp_path):
    first = subprocess.Popen(
        command("--backends", "eager,tests/faults.py:hangs", "--timeout", "60s", "--out", tmp_path / "a"), cwd=ROOT,
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        path = tmp_path / "a" / "records.jsonl"
        while not (path.exists() and path.stat().st_size):
            assert first.poll() is None
            time.sleep(0.1)
        second = subprocess.run(
            command("--backends", "eager", "--out", tmp_path / "b"), cwd=ROOT, capture_output=True, text=True, check=False
        )
        assert second.returncode == 2 and second.stderr.count("\n") == 1 and "another run is measuring" in second.stderr
    finally:
        first.kill()
        first.wait()

"""Locks a device for one run of a user, wherever its temporary files are. The error of a second run names the first."""

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from bench.errors import UsageError
from bench.harness import device_lock
from bench.harness.device_lock import find_lock, lock_device
from tests.command_line import bench
from tests.inline import Inline

__all__ = ["bench"]

ROOT = Path(__file__).parents[1]
HOLD = """
import sys
from bench.harness.device_lock import lock_device
with lock_device("cpu"):
    print("held", flush=True)
    sys.stdin.read()
"""
QUICK = ("all", "--quick", "--cells", "vanilla", "--backends", "vendor", "--seq-lens", "2", "--device", "cpu")


@pytest.fixture
def other(tmp_path, monkeypatch):
    """Another process that holds the lock, with a TMPDIR of its own, until its stdin ends."""
    monkeypatch.setenv("RECURRENT_BENCH_LOCKS", str(tmp_path))
    environ = os.environ | {"TMPDIR": str(tmp_path / "elsewhere")}
    with subprocess.Popen([sys.executable, "-c", HOLD], cwd=ROOT, env=environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout and holder.stdin and holder.stdout.readline()
        yield holder
        holder.stdin.close()


def test_the_file_is_one_for_a_user_and_a_device_whatever_tmpdir_is(monkeypatch):
    monkeypatch.delenv("RECURRENT_BENCH_LOCKS")
    found = set()
    for folder in ("/tmp", "/somewhere"):
        monkeypatch.setenv("TMPDIR", folder)
        found.add(find_lock("cpu"))
    assert len(found) == 1 and str(os.getuid()) in found.pop().name
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    assert "12345" in find_lock("cpu").name
    names = set()
    for visible in ("0", "1", "GPU-a/b"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        names.add(find_lock("cuda").name)
    assert len(names) == 3 and not any("/" in name for name in names)


def test_a_gpu_has_one_lock_whether_its_number_or_its_uuid_is_visible(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    gpus = {"1": "a1", "GPU-a1": "a1", "1,0": "a1", "0": "b0"}
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda index: SimpleNamespace(uuid=gpus[os.environ["CUDA_VISIBLE_DEVICES"]]))
    names = dict[str, str]()
    for visible in gpus:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
        names[visible] = find_lock("cuda").name
    assert names["1"] == names["GPU-a1"] == names["1,0"] != names["0"]


def test_a_second_run_is_refused_and_told_who_measures_since_when(bench, other, tmp_path):
    """It leaves nothing, so that the same command works afterwards."""
    out = tmp_path / "runs" / "mine"
    code, said, err = bench(*QUICK, "--out", out)
    assert (code, said) == (2, "") and err.count("\n") == 1
    assert re.search(rf"process {other.pid}, since \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d", err) and "--wait" in err
    assert not out.parent.exists()


def test_wait_takes_the_lock_when_it_is_free(other, capfd, monkeypatch):
    monkeypatch.setattr(device_lock, "POLL_SECONDS", 0.05)
    threading.Timer(0.3, other.stdin.close).start()
    with lock_device("cpu", wait=True):
        assert other.wait(5) == 0
        with pytest.raises(UsageError, match=f"process {os.getpid()}, since"), lock_device("cpu"):
            pass
    said = capfd.readouterr().err
    assert said.count("waiting: another run is measuring") == 1 and f"process {other.pid}" in said


def test_a_run_is_not_charged_for_its_wait(bench, tmp_path, monkeypatch):
    """The budget begins when the lock is taken, and the wall time doesn't include what was before."""
    from bench.records import read_records

    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    honest, shift = time.monotonic, [0.0]
    monkeypatch.setattr(time, "monotonic", lambda: honest() + shift[0])

    def late(lock, *_: object, **__: object):
        shift[0] += 7200
        return acquire(lock)

    acquire = device_lock.FileLock.acquire
    monkeypatch.setattr(device_lock.FileLock, "acquire", late)
    assert bench(*QUICK, "--wait", "--budget", "1h", "--out", tmp_path / "run")[0] == 0
    found = read_records(tmp_path / "run")
    assert any(record.status == "ok" for record in found.cases) and found.ends[0].wall < 3600


def test_a_link_planted_beside_the_lock_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setenv("RECURRENT_BENCH_LOCKS", str(tmp_path))
    (tmp_path / "precious").write_text("data")
    find_lock("cpu").with_suffix(".holder").symlink_to(tmp_path / "precious")
    with pytest.raises(UsageError, match="can't be locked"), lock_device("cpu"):
        pass
    assert (tmp_path / "precious").read_text() == "data"


def test_a_run_that_ends_before_its_first_record_leaves_nothing(bench, tmp_path, monkeypatch):
    def stop(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.harness.speed_experiment.SpeedExperiment.__enter__", stop)
    code, _, err = bench(*QUICK, "--out", tmp_path / "run")
    assert code == 130 and err == "bench: interrupted\n" and not (tmp_path / "run").exists()


@pytest.mark.full
def test_a_folder_with_an_empty_file_of_records_is_no_run(bench, tmp_path, monkeypatch):
    monkeypatch.setattr("bench.harness.speed_experiment.Worker", Inline)
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "records.jsonl").touch()
    assert bench(*QUICK, "--out", tmp_path / "run")[0] == 0
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "notes.txt").touch()
    code, _, err = bench(*QUICK, "--out", tmp_path / "notes")
    assert code == 2 and "exists already" in err

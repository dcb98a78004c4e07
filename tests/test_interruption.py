"""SIGINT and SIGTERM: one line and exit code 130 whenever they come, and nothing is left but what was measured."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import cli
from bench.records import read_records
from tests.command_line import bench
from tests.started import Started

__all__ = ["bench"]

ROOT = Path(__file__).parents[1]
RUN = ("all", "--quick", "--cells", "lstm", "--backends", "vendor,eager", "--device", "cpu", "--seq-lens", "2,3,4,5")
ENDED = (130, -signal.SIGINT)
"""The exit codes of an interrupted Python: its own says the same to a shell."""


def start(*arguments: object) -> "subprocess.Popen[str]":
    return subprocess.Popen([sys.executable, "-m", "bench", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                            text=True, bufsize=0)  # fmt: skip


@pytest.mark.parametrize("stop", [signal.SIGINT, signal.SIGTERM])
def test_while_modules_are_imported(stop):
    """As soon as the first of ours runs."""
    script = f"import os, sys; sys.argv = ['bench', 'list']; sys.path.insert(0, {str(ROOT)!r})\n" + SEND.format(number=int(stop))
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "bench: interrupted\n")


SEND = """
import runpy
class Sender:
    def find_spec(self, name, *_):
        if name == "bench.missing":
            os.kill(os.getpid(), {number})
sys.meta_path.insert(0, Sender())
runpy.run_module("bench", run_name="__main__")
"""


@pytest.mark.parametrize("wait", [0.4, 2.0])
def test_at_any_moment_it_is_one_line_and_nothing_is_left(tmp_path, wait):
    run = start(*RUN, "--out", tmp_path / "run")
    time.sleep(wait)
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=60)
    assert run.returncode in ENDED and err.splitlines()[-1].startswith("bench: interrupted") and "bench/" not in err
    assert not (tmp_path / "run").exists() or read_records(tmp_path / "run")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_a_signal_keeps_and_renders_what_was_measured(tmp_path, number):
    run = Started(*RUN, "--out", tmp_path / "run")
    path = tmp_path / "run" / "records.jsonl"
    while not (path.exists() and path.read_text().count("\n") > 2):  # the run, its plan, and a measurement
        assert run.poll() is None, run.communicate()[1]
        time.sleep(0.05)
    run.send_signal(number)
    _, err = run.communicate(timeout=60)
    assert run.returncode in ENDED and "Traceback" not in err and "interrupted: " in err and "--resume continues" in err
    assert read_records(path).has_measurements and (tmp_path / "run" / "report.md").exists()
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_an_interruption_that_a_library_turns_into_another_error_is_one(bench, monkeypatch):
    def fail() -> None:
        raise ImportError("numpy: partially initialised") from KeyboardInterrupt()

    monkeypatch.setattr("bench.commands.cell_report.print_cells", fail)
    with pytest.raises(ImportError):
        bench("list")
    monkeypatch.setattr(cli, "INTERRUPTIONS", [2])
    assert bench("list") == (130, "", "bench: interrupted\n")


def test_one_that_python_swallows_is_sent_again(monkeypatch):
    """As one that comes in a destructor."""

    class Loud:
        def __del__(self) -> None:
            signal.raise_signal(signal.SIGTERM)

    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    monkeypatch.setattr(cli, "INTERRUPTIONS", [])
    try:
        cli.raise_on_signals()
        with pytest.raises(KeyboardInterrupt):
            Loud()
            time.sleep(5)
        assert cli.INTERRUPTIONS == [signal.SIGTERM, signal.SIGINT]
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""A case may do its worst: it ends in its own status, and every other case has its record."""

import json
import os
import random
import signal
import subprocess
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from bench.harness.cases import timing_groups
from bench.harness.jobs import remaining_work
from bench.harness.runner import Runner
from bench.harness.settings import Settings
from bench.harness.supervisor import TRIES, NoWorker, Supervisor
from bench.harness.work_unit import Checked, WorkUnit
from bench.harness.worker import UnitDone, Worker, WorkerDied
from bench.records import CaseRecord, read_records
from tests.records import case, records, timed
from tests.started import Started, finish

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
    "right_but_twice": ("incorrect", "after the timing its answer"),
    "piles_up": ("incorrect", "after the timing"),
    "spoils_what_all_are_given": ("incorrect", "outputs are off by"),
    "takes_another_thread": ("failed", "it changes torch's number of threads"),
    "doubles_by_default": ("failed", "it changes torch's default dtype"),
    "forgets_gradients": ("failed", "does not require grad"),
    "fails_without_words": ("failed", "Speechless: it can't say what is wrong"),
    "says_what_none_can_write": ("failed", r"ValueError: \x1b[31m no \udcff text xx"),
    "interrupts_when_timed": ("crashed", "ended with exit code"),
    "closes_all_files": ("crashed", "ended with exit code"),
}
SAMPLE = (
    "refuses", "needs_too_much", "raises", "exits", "dies_when_timed", "hangs", "wrong", "wrong_without_gradients", "spoils_inputs",
    "remembers", "takes_another_thread", "says_what_none_can_write",
)  # fmt: skip
"""A fault of each kind."""
UNSEEN = {("remembers", "training"), ("piles_up", "inference")}
"""Modes in which a fault does nothing."""


class Scripted:
    """A worker that does what is written for each of its turns: dies, or emits a record of every case."""

    def __init__(self, *turns: object):
        self.turns, self.asked = list(turns), []

    def run_unit(self, job):
        self.asked.append(job.cases)
        turn = self.turns.pop(0)
        if isinstance(turn, WorkerDied):
            raise turn
        yield None
        yield from (timed(case, 1.0) for case in job.cases)
        yield UnitDone({"gates": 2.0})


CASES = tuple(case(cell) for cell in ("gru", "lstm", "vanilla"))
RACE = WorkUnit("timing group", "T=128", CASES)


def sit(*turns: object) -> tuple[Supervisor, list]:
    return Supervisor(Scripted(*turns), lambda words, finished: None), []


def test_who_is_at_fault_is_left_out_and_the_rest_is_asked_for_again():
    supervisor, found = sit(WorkerDied(CASES[1:2], "killed by SIGSEGV"), WorkerDied(CASES[:1], "took longer than 3 s", late=True), "works")
    supervisor.run_units([RACE], found.append, None)
    assert [(r.case.cell, r.status, r.reason) for r in found] == [
        ("lstm", "crashed", "killed by SIGSEGV"), ("gru", "timeout", "took longer than 3 s"), ("vanilla", "ok", ""),
    ]  # fmt: skip
    assert supervisor.worker.asked == [CASES, (CASES[0], CASES[2]), (CASES[2],)] and supervisor.spent == {"gates": 2.0}


def test_where_no_process_stays_alive_it_says_how_the_last_one_ended():
    supervisor, found = sit(*[WorkerDied([], "ended with exit code 1")] * TRIES)
    with pytest.raises(NoWorker, match="T=128: ended with exit code 1, 3 times in a row"):
        supervisor.run_units([RACE], found.append, None)
    assert not found
    supervisor, found = sit(*[WorkerDied([], "once")] * (TRIES - 1), "works")
    supervisor.run_units([RACE], found.append, None)
    assert len(found) == 3, "a process that can't start may be an accident"
    supervisor, found = sit(*[WorkerDied([], "once"), WorkerDied(CASES[:1], "killed")] * (TRIES - 1), "works")
    supervisor.run_units([RACE], found.append, None)
    assert len(found) == 4, "a case that ends its process is no fault of the machine"


def test_what_was_timed_stays_when_a_later_build_can_not_be():
    """A bug, a full disk or the end of all processes: the builds before are written, as those of an interrupted run are."""

    class Fails(Scripted):
        def renew(self):
            pass

        def run_unit(self, unit):
            if unit.build:
                raise self.turns.pop(0)
            yield from (timed(case, 1.0).model_copy(update={"builds": [0]}) for case in unit.cases)

    for error, raised in ((RuntimeError("a bug"), RuntimeError), (OSError(28, "full"), OSError), (WorkerDied([], "gone"), NoWorker)):
        found: list = []
        supervisor = Supervisor(Fails(*[error] * TRIES), lambda words, finished: None, builds=2)
        with pytest.raises(raised):
            supervisor.run_units([RACE], found.append, None)
        assert [(r.case, r.samples, r.stopped) for r in found] == [(case, [1.0], "interrupted") for case in CASES]
        assert remaining_work(RACE, records(*found)) == RACE, "and resumed, the group is timed again"


@pytest.mark.parametrize("build", [0, 1])
def test_interrupted_while_timed_cases_are_checked_none_is_lost(monkeypatch, build):
    settings = Settings(("vanilla",), ("eager", "vendor"), (2,), (1,), (3,), 3, "float32", "ieee", "cpu", 0, True)
    (group,) = timing_groups(settings)
    said: list = []
    runner = Runner(settings, said.append, lambda words, finished: None)
    runner.run_unit(group)
    results = {line.case: line.fingerprint for line in said if isinstance(line, Checked)}
    said.clear()
    honest, turns = Runner.finish_case, iter([False, True] + [False] * len(group.cases))

    def finish(self, *given, **more):
        if next(turns):
            raise KeyboardInterrupt
        honest(self, *given, **more)

    monkeypatch.setattr(Runner, "finish_case", finish)
    with pytest.raises(KeyboardInterrupt):
        runner.run_unit(replace(group, build=build, fingerprints=results))
    timed_cases = [line.case for line in said if isinstance(line, CaseRecord) and line.samples and set(line.builds) == {build}]
    assert Counter(timed_cases) == Counter(group.cases)


def test_after_the_budget_no_race_is_begun_and_every_case_of_it_is_named():
    supervisor, found = sit("works")
    supervisor.run_units([RACE], found.append, None, until=time.monotonic() - 1)
    assert [record.status for record in found] == ["skipped"] * 3 and supervisor.skipped == [RACE]
    supervisor, found = sit("works")
    supervisor.run_units([RACE], found.append, records(timed(CASES[0], 1.0)), until=time.monotonic() - 1)
    assert [record.case for record in found] == list(CASES[1:]), "but for those that have a record"


def test_with_a_budget_speed_is_asked_first_and_nothing_is_begun_after_it():
    gradients = WorkUnit("gradients", "gradient norms", CASES[:1])
    supervisor, found = sit("works", "works")
    supervisor.run_units([gradients, RACE], found.append, None)
    assert supervisor.worker.asked == [CASES[:1], CASES]
    supervisor, found = sit("works", "works")
    supervisor.run_units([gradients, RACE], found.append, None, until=time.monotonic() + 60)
    assert supervisor.worker.asked == [CASES, CASES[:1]]
    supervisor, found = sit()
    supervisor.run_units([gradients, RACE], found.append, None, until=time.monotonic() - 1)
    assert supervisor.skipped == [RACE, gradients] and [record.case for record in found] == list(CASES), "gradient norms are no case"


def test_what_failed_before_its_process_died_is_not_asked_for_again():
    wrong = timed(CASES[0]).model_copy(update={"status": "incorrect"})

    class Dies(Scripted):
        def run_unit(self, job):
            yield from super().run_unit(job)
            if not self.turns:
                return
            yield wrong
            raise self.turns.pop(0)

    found: list = []
    supervisor = Supervisor(Dies("works", WorkerDied(CASES[1:2], "killed"), "works"), lambda words, finished: None)
    supervisor.run_units([RACE], found.append, None)
    assert supervisor.worker.asked == [CASES, CASES[2:]]


@pytest.mark.parametrize("status", ["crashed", "timeout"])
def test_what_is_left_of_a_race(status):
    had = [timed(CASES[0], 1.0), timed(CASES[1]).model_copy(update={"status": status})]
    assert remaining_work(RACE, records(*had)).cases == (CASES[0], CASES[2]), "whole, but for what took its process down"
    assert remaining_work(RACE, records(*had, timed(CASES[2], 1.0))) is None
    assert remaining_work(RACE, records(*had, timed(CASES[2]).model_copy(update={"status": "skipped"}))) is not None


QUICK = ("all", "--quick", "--cells", "vanilla", "--seq-lens", "2", "--device", "cpu")


@pytest.mark.parametrize("names", [SAMPLE, pytest.param(tuple(EXPECTED), marks=pytest.mark.soak)], ids=["sample", "all"])
def test_every_fault_ends_in_its_own_status(tmp_path, names):
    backends = ",".join([*HONEST, *(f"tests/faults.py:{name}" for name in names)])
    done = finish(*QUICK, "--backends", backends, "--timeout", "12s", "--out", tmp_path / "run")
    assert done.returncode == 0 and "Traceback" not in done.stderr, done.stderr
    found = read_records(tmp_path / "run").cases
    assert len(found) == 2 * (len(HONEST) + len(names)) + 1, "every case has one record, and the control"
    for record in found:
        name = record.case.backend.rpartition(":")[2]
        if name in HONEST or (name, record.case.mode) in UNSEEN:
            assert record.status == "ok" and record.samples and record.stopped
        else:
            status, reason = EXPECTED[name]
            assert record.status == status and reason in record.reason and not record.samples, (name, record.status, record.reason)
            assert record.reason.isprintable() and len(record.reason) < 400
    counts = Counter(record.status for record in found)
    for status, count in counts.items():
        assert f"{count} {status}" in " ".join(done.stdout.split())


def outcomes(folder: Path) -> dict[object, str]:
    whole = read_records(folder)
    found = {record.case: record.status for record in whole.cases}
    assert len(found) == len(whole.cases)
    return found | {(record.cell, record.T): "gradients" for record in whole.gradients}


@pytest.mark.parametrize("moments", [1, pytest.param(10, marks=pytest.mark.soak)])
def test_killed_at_random_moments_and_resumed_it_ends_the_same(tmp_path, moments):
    given = ("--cells", "vanilla,minimal", "--backends", "eager,vendor,tests/faults.py:raises", "--seq-lens", "2,3")
    begin = time.monotonic()
    assert finish(*QUICK, *given, "--out", tmp_path / "whole").returncode == 0
    took, draw = time.monotonic() - begin, random.Random(moments)
    for number in range(moments):
        folder = tmp_path / f"cut{number}"
        run = Started(*QUICK, *given, "--resume", "--out", folder)
        try:
            run.wait(draw.uniform(0.2, 0.95) * took)
        except subprocess.TimeoutExpired:
            run.send_signal(signal.SIGKILL)
            run.wait()
        done = finish(*QUICK, *given, "--resume", "--out", folder)
        assert done.returncode == 0, done.stderr
        assert outcomes(folder) == outcomes(tmp_path / "whole")


def test_killed_in_the_middle_of_a_line_and_resumed(tmp_path):
    """What a process that is killed may leave: a part of a line. It is dropped, said, and measured again."""
    given = ("--backends", "eager", "--out", tmp_path / "run")
    assert finish(*QUICK, *given).returncode == 0
    path = tmp_path / "run" / "records.jsonl"
    lines, before = path.read_bytes().splitlines(keepends=True), outcomes(tmp_path / "run")
    path.write_bytes(b"".join(lines[:-2]) + lines[-2][:100])
    done = finish(*QUICK, *given, "--resume")
    assert done.returncode == 0 and "its last line was cut short" in done.stderr
    assert outcomes(tmp_path / "run") == before
    assert all(json.loads(line) for line in path.read_text().splitlines())


def test_interrupted_while_it_starts_a_process_says_nothing():
    worker = Worker(Settings(("vanilla",), ("eager",), (2,), (1,), (1,), 1, "float32", "ieee", "cpu", 0, True), 60.0)
    for _ in range(10):
        os.kill(worker.process.pid, signal.SIGINT)
        worker.process.join(0.2)
    assert worker.process.is_alive(), "a terminal interrupts all of a run, and its parent answers for it"
    worker.kill()


def test_two_runs_at_once_are_refused(tmp_path):
    first = Started(*QUICK, "--backends", "eager,tests/faults.py:hangs", "--timeout", "60s", "--out", tmp_path / "a")
    try:
        path = tmp_path / "a" / "records.jsonl"
        while not (path.exists() and path.stat().st_size):
            assert first.poll() is None
            time.sleep(0.1)
        second = finish(*QUICK, "--backends", "eager", "--out", tmp_path / "b")
        assert second.returncode == 2 and second.stderr.count("\n") == 1 and "another run is measuring" in second.stderr
    finally:
        first.send_signal(signal.SIGKILL)
        first.wait()

"""The campaign, with steps and commands that stand in for a GPU's."""

import sys
import tarfile
import time

import click
import pytest

from bench.cli import app
from bench.harness import campaign, device
from bench.harness.campaign import OVERDUE, STEPS, Step
from bench.harness.suites import GPU_SUITES, SUITES
from tests.command_line import bench

__all__ = ["bench"]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only steps spend."""
    now = [0.0]
    monkeypatch.setattr(campaign.time, "monotonic", lambda: now[0])
    return now


@pytest.fixture
def commands(monkeypatch, clock):
    """Commands that would run: each writes a file, takes so many seconds and ends with such a code, as the list says."""
    plans: list[tuple[float, object]] = []
    given: list[tuple[list[str], float]] = []

    def call(command, seconds, output):
        took, code = plans.pop(0)
        given.append((list(command), seconds))
        output.write("output\n")
        clock[0] += took
        if isinstance(code, OSError):
            raise code
        return code

    monkeypatch.setattr(campaign, "run_command", call)
    return plans, given


def steps(*limits: float) -> list[Step]:
    return [Step(f"step {n}", 1, limit, ("bench", "{folder}", "{seconds}"), ending=5) for n, limit in enumerate(limits)]


def test_each_step_has_a_limit_of_its_own(commands, tmp_path):
    plans, given = commands
    plans += [(10, 0), (20, 0)]
    assert campaign.run_campaign(tmp_path / "new", 100, steps(30, 40), lambda line: None) == []
    assert [seconds for _, seconds in given] == [30, 40]
    assert given[0][0][1:] == ["-m", "bench", str(tmp_path / "new"), "25s"]


def test_no_step_passes_the_budget(commands, tmp_path):
    """The last step gets what is left less the time to stop it, and none begins in less than the least time."""
    plans, given = commands
    plans += [(60, 0), (campaign.LEAST, 0)]
    told: list[str] = []
    budget = 60 + campaign.LEAST + campaign.GRACE_SECONDS + 2
    assert campaign.run_campaign(tmp_path / "new", budget, steps(60, 60, 60), told.append) == []
    assert [seconds for _, seconds in given] == [60, campaign.LEAST + 2]
    assert any("budget is spent: step 2 left out" in line for line in told)


@pytest.mark.parametrize("code, why", [(3, "exit code 3 after 7 s"), (OVERDUE, "stopped after 7 s"), (OSError("lost"), "lost")])
def test_a_step_that_fails_takes_no_other_with_it(commands, tmp_path, code, why):
    plans, given = commands
    plans += [(7, code), (7, 0)]
    told: list[str] = []
    wrong = campaign.run_campaign(tmp_path / "new", 100, steps(30, 30), told.append)
    assert len(given) == 2 and len(wrong) == 1 and why in wrong[0] and wrong[0] in told


def test_what_was_found_is_packed_after_every_step(commands, tmp_path, monkeypatch):
    """A third step that never ends leaves the archive of the first two."""
    plans, _ = commands
    plans += [(1, 0), (1, 1)]
    pack = tmp_path / "found.tar.gz"
    with pytest.raises(IndexError):  # the list of commands has no third
        campaign.run_campaign(tmp_path / "new", 100, steps(30, 30, 30), lambda line: None, pack)
    with tarfile.open(pack) as archive:
        assert {"new/step-0.log", "new/step-1.log"} <= set(archive.getnames())
    assert not list(tmp_path.glob("*.new"))


def test_a_folder_that_cannot_be_written_is_one_line(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(device, "resolve_device", lambda wanted: "cuda")
    (tmp_path / "file").write_text("")
    code, out, err = bench("campaign", "--out", tmp_path / "file" / "new")
    assert (code, out, err.count("\n")) == (2, "", 1) and "can't be written" in err


def test_a_command_that_takes_too_long_is_stopped_with_what_it_started(tmp_path):
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(60)'])"
    with (tmp_path / "log").open("w") as stream:
        begin = time.monotonic()
        assert campaign.run_command([sys.executable, "-c", child], 0.5, stream) == OVERDUE
        assert time.monotonic() - begin < 30
        assert campaign.run_command([sys.executable, "-c", "print('here'); raise SystemExit(3)"], 60, stream) == 3
    assert (tmp_path / "log").read_text().endswith("here\n")


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_without_a_gpu_it_is_one_line(bench, tmp_path):
    code, out, err = bench("campaign", "--out", tmp_path / "new")
    assert (code, out) == (2, "") and "needs a GPU" in err and err.count("\n") == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize("wrong, code", [([], 0), (["tests: failed"], 1)])
@pytest.mark.parametrize("call", ["", "1", "2"])
def test_its_calls_and_exit_code(bench, monkeypatch, tmp_path, wrong, code, call):
    given = []
    monkeypatch.setattr(device, "resolve_device", lambda wanted: "cuda")
    monkeypatch.setattr(device, "device_slug", lambda device: "nvidia-h200")
    monkeypatch.setattr(campaign, "run_campaign", lambda *arguments: given.append(arguments) or wrong)
    assert bench("campaign", "--budget", "9m", *(["--call", call] if call else []))[0] == code
    folder, seconds, chosen, *_ = given[0]
    assert seconds == 540 and folder.name.endswith("-nvidia-h200-campaign")
    assert {step.call for step in chosen} == ({int(call)} if call else {1, 2})


@pytest.mark.parametrize("step", STEPS, ids=lambda step: step.name)
def test_every_command_is_one_that_exists(step, tmp_path, capsys):
    """Its options are the program's own, its suites and files are there, and it ends in its time."""
    module, *arguments = step.command(tmp_path, step.limit)[2:]
    assert step.limit > step.ending or "{seconds}" not in step.arguments
    if module == "pytest":
        files = [word for word in arguments if word.endswith(".py")]
        assert files and all((campaign.ROOT / file).is_file() for file in files)
        return
    assert module == "bench"
    command = app.commands[arguments[0]]
    with click.Context(command):
        command.make_context(arguments[0], list(arguments[1:]))  # raises where an option, a suite or a backend is unknown
    assert capsys.readouterr().err == "", "no option and no backend has an old name"


def test_the_first_call_fits_into_what_it_is_given():
    """The steps that matter most get their whole limits in six minutes."""
    first = [step for step in campaign.select_steps(1) if step.name != "tests"]
    assert sum(step.limit for step in first) + campaign.GRACE_SECONDS <= 360


def test_every_suite_is_in_it():
    suites = {word for step in STEPS for word in step.arguments if word in SUITES}
    assert suites == set(GPU_SUITES)


TALKS = """
import time
print("begun", flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    print("what failed until now", flush=True)
    time.sleep({more})
"""


@pytest.mark.parametrize("more", [0, 60])
def test_what_takes_too_long_may_say_what_it_found(monkeypatch, tmp_path, more):
    """As pytest does of the tests that failed. What doesn't end then either is killed."""
    monkeypatch.setattr(campaign, "GRACE_SECONDS", 0.5)
    log, begin = tmp_path / "log", time.monotonic()
    with log.open("w") as stream:
        assert campaign.run_command([sys.executable, "-c", TALKS.format(more=more)], 1.0, stream) == OVERDUE
    assert log.read_text() == "begun\nwhat failed until now\n" and time.monotonic() - begin < 10

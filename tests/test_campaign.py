"""The campaign, with steps and commands that stand in for a GPU's."""

import sys
import time
from pathlib import Path

import pytest

from bench import campaign, device
from bench.campaign import OVERDUE, Failed, Step
from bench.suites import SUITES
from tests.test_cli import bench

__all__ = ["bench"]


@pytest.fixture
def clock(monkeypatch):
    """Seconds that only steps spend."""
    now = [0.0]
    monkeypatch.setattr(campaign.time, "monotonic", lambda: now[0])
    return now


def steps(clock, *plans):
    """Steps by (name, share, seconds they take, what they raise), and the calls that they got."""
    calls: list[tuple[str, float]] = []

    def step(name, share, takes, error):
        def run(folder, seconds, tell):
            calls.append((name, seconds))
            clock[0] += takes
            if error:
                raise error

        return Step(name, share, run)

    return [step(*plan) for plan in plans], calls


def test_a_step_gets_its_share_of_what_is_left(clock, tmp_path):
    told: list[str] = []
    made, calls = steps(clock, ("a", 0.25, 10.0, None), ("b", 0.5, 45.0, None), ("c", 1.0, 1.0, None))
    assert campaign.run(tmp_path / "new", 100.0, made, told.append) == []
    assert calls == [("a", 25.0), ("b", 45.0), ("c", 45.0)]
    assert str(tmp_path / "new") in told[-1] and "goes on" in told[-1] and "bench report" in told[-1]


def test_a_step_that_dies_is_told_loudly_and_the_others_go_on(clock, tmp_path):
    told: list[str] = []
    made, calls = steps(clock, ("a", 0.5, 1.0, Failed("the GPU tests failed")), ("b", 0.5, 1.0, ValueError("odd")), ("c", 1.0, 1.0, None))
    assert campaign.run(tmp_path, 100.0, made, told.append) == ["a: the GPU tests failed", "b: ValueError: odd"]
    assert [name for name, _ in calls] == ["a", "b", "c"]
    assert told[-2:] == ["WRONG: a: the GPU tests failed", "WRONG: b: ValueError: odd"]


def test_the_budget_runs_out(clock, tmp_path):
    told: list[str] = []
    made, calls = steps(clock, ("a", 0.5, 200.0, None), ("b", 0.5, 1.0, None), ("c", 1.0, 1.0, None))
    assert campaign.run(tmp_path, 100.0, made, told.append) == []
    assert [name for name, _ in calls] == ["a"] and any("budget is spent: b, c left out" in line for line in told)


@pytest.fixture
def commands(monkeypatch):
    """What would be run, each answered with the next exit code."""
    codes: list[int] = []
    given: list[tuple[list[str], float]] = []

    def call(command, seconds, output):
        given.append((list(command), seconds))
        output.write("what it says\n")
        return codes.pop(0)

    monkeypatch.setattr(campaign, "call", call)
    return codes, given


def test_the_gpu_tests_run_until_they_passed(commands, tmp_path):
    codes, given = commands
    codes += [1, OVERDUE, 0]
    with pytest.raises(Failed, match=r"failed \(exit code 1\): see .*tests\.log"):
        campaign.tests(tmp_path, 30.0, print)
    with pytest.raises(Failed, match="took too long"):
        campaign.tests(tmp_path, 30.0, print)
    campaign.tests(tmp_path, 30.0, print)
    campaign.tests(tmp_path, 30.0, print)
    assert len(given) == 3, "once they passed, they are not run again"
    assert (tmp_path / "tests.log").read_text() == "what it says\n\nexit code 0\n"
    files = [Path(word).name for word in given[0][0] if word.endswith(".py")]
    assert files == [path.name for path in sorted(Path(__file__).parent.glob("test_gpu*.py"))] and len(files) > 3 and "gpu" in given[0][0]


def test_without_pytest_the_tests_did_not_run(monkeypatch, tmp_path):
    monkeypatch.setattr(campaign.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(Failed, match="did not run"):
        campaign.tests(tmp_path, 30.0, print)


def test_a_suite_resumes_in_a_folder_of_its_own(commands, tmp_path):
    codes, given = commands
    codes.append(0)
    campaign.suite("headline", tmp_path, 90.0, print)
    (command, seconds), out = given[0], str(tmp_path / "headline")
    assert command[1:] == ["-m", "bench", "all", "--suite", "headline", "--device", "cuda", "--out", out, "--resume", "--budget", "90s"]
    assert 90 <= seconds <= 90 + campaign.GRACE


def test_a_suite_that_lost_the_gpu_goes_on_as_long_as_it_gets_somewhere(monkeypatch, tmp_path):
    path, told = tmp_path / "headline" / "records.jsonl", []
    path.parent.mkdir()
    results = [(1, "crashed\n"), (1, "crashed\n"), (1, "")]

    def call(command, seconds, output):
        code, line = results.pop(0)
        path.write_text((path.read_text() if path.exists() else "") + line)
        return code

    monkeypatch.setattr(campaign, "call", call)
    with pytest.raises(Failed, match="ended with exit code 1"):
        campaign.suite("headline", tmp_path, 90.0, told.append)
    assert not results and len(told) == 2


def test_a_suite_that_hangs_is_stopped(commands, tmp_path):
    commands[0].append(OVERDUE)
    with pytest.raises(Failed, match="didn't end in time"):
        campaign.suite("headline", tmp_path, 90.0, print)


def test_a_command_that_takes_too_long_is_stopped(tmp_path):
    with (tmp_path / "log").open("w") as stream:
        begin = time.monotonic()
        assert campaign.call([sys.executable, "-c", "import time; time.sleep(60)"], 0.5, stream) == OVERDUE
        assert time.monotonic() - begin < 30
        assert campaign.call([sys.executable, "-c", "print('here'); raise SystemExit(3)"], 60, stream) == 3
    assert (tmp_path / "log").read_text() == "here\n"


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="there is a GPU")
def test_without_a_gpu_it_is_one_line(bench, tmp_path):
    code, out, err = bench("campaign", "--out", tmp_path / "new")
    assert (code, out) == (2, "") and "needs a GPU" in err and err.count("\n") == 1 and not (tmp_path / "new").exists()


@pytest.mark.parametrize(("wrong", "code"), [([], 0), (["tests: failed"], 1)])
def test_its_exit_code(bench, monkeypatch, tmp_path, wrong, code):
    given = []
    monkeypatch.setattr(device, "choose", lambda wanted: "cuda")
    monkeypatch.setattr(device, "nickname", lambda device: "nvidia-h200")
    monkeypatch.setattr(campaign, "run", lambda *arguments: given.append(arguments) or wrong)
    assert bench("campaign", "--budget", "9m")[0] == code
    folder, seconds, *_ = given[0]
    assert seconds == 540 and folder.name.endswith("-nvidia-h200-campaign")


def test_the_steps_are_in_order_of_worth():
    names = [step.name for step in campaign.STEPS]
    assert names[0] == "tests" and names.index("headline") < names.index("deepbench") < names.index("crossover")
    assert {*SUITES, *(f"the rest of {name}" for name in SUITES)} <= set(names), "every suite, and again what its share left out"
    assert campaign.STEPS[-1].share == 1 and all(0 < step.share <= 1 for step in campaign.STEPS)


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
    monkeypatch.setattr(campaign, "LAST", 0.5)
    log, begin = tmp_path / "log", time.monotonic()
    with log.open("w") as stream:
        assert campaign.call([sys.executable, "-c", TALKS.format(more=more)], 1.0, stream) == OVERDUE
    assert log.read_text() == "begun\nwhat failed until now\n" and time.monotonic() - begin < 10

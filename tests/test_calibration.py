"""Calibration by simulated runs: it judges as a run does, a quiet machine passes, a noisy one doesn't, and three comparisons can't tell."""

import random
from collections import Counter

import pytest
import torch

from bench.harness import calibration, planted_slowdown
from bench.harness.calibration import LENGTHS, Calibration, bound_share, list_cases
from bench.harness.noise_simulation import independent, simulate_run
from bench.harness.supervisor import Supervisor
from bench.measure.backends import load_user_backend
from bench.measure.clock import LEAN, RULES, choose_rule
from bench.measure.problem import make_problem
from tests.command_line import bench
from tests.inline import Inline

__all__ = ["bench"]

CPU = torch.device("cpu")


def simulated(share: float, runs: int, into: Calibration | None = None) -> Calibration:
    draw, found = random.Random(3), into or Calibration()
    for _ in range(runs):
        found.add_run(simulate_run(independent(draw, share), LEAN, 0.001, draw))
    return found


def test_a_quiet_machine_passes_and_a_noisy_one_does_not():
    quiet = simulated(0.01, 25)
    assert quiet.conclusion == "passed" and quiet.comparisons == 75 and 0 < quiet.floor < 0.03
    loud = simulated(0.30, 10)
    assert loud.conclusion == "not passed" and loud.floor > quiet.floor


def test_three_comparisons_conclude_nothing():
    few = simulated(0.005, 1)
    assert few.comparisons == few.found == 3 and few.wrong == 0 and few.conclusion == "inconclusive"
    assert Calibration(same=Counter(tie=3), slowed=Counter(ambiguous=3)).conclusion == "inconclusive", "0 of 3, in one state of the machine"
    assert simulated(0.005, 19).conclusion == "inconclusive", "57 without an error: the share may be 5.1%"
    assert simulated(0.005, 20).conclusion == "passed"


def test_bounds_are_those_of_clopper_and_pearson():
    assert bound_share(0, 59)[1] == pytest.approx(1 - 0.05 ** (1 / 59)) and bound_share(0, 59)[0] == 0
    low, high = bound_share(10, 10)
    assert low == pytest.approx(0.05**0.1) and high == 1


def test_wrong_verdicts_do_not_pass():
    wrong = Calibration()
    wrong.same.update(tie=80, faster=20)
    wrong.slowed.update(slower=100)
    assert wrong.conclusion == "not passed" and wrong.wrong == 20


@pytest.mark.full
def test_it_is_measured_as_a_run_is(monkeypatch):
    """The same worker, rule and number of builds; only the sizes are smaller here."""
    monkeypatch.setattr(calibration, "Worker", Inline)
    monkeypatch.setattr(calibration, "LENGTHS", (2,))
    monkeypatch.setattr(calibration, "H", 4)
    seen, honest = [], Supervisor.__init__
    monkeypatch.setattr(
        Supervisor, "__init__", lambda self, worker, tell, builds: (seen.append(builds), honest(self, worker, tell, builds))[1]
    )
    told = list[str]()
    calibration.calibrate(CPU, 1, 50.0, lambda words, finished: told.append(words), found := calibration.Calibration())
    assert "run 1, checking T=2: vanilla plain inference" in told
    assert seen == [choose_rule(CPU, False, False, False).builds] == [RULES["cpu"].builds] and found.comparisons == 1


def test_the_slowdown_has_more_steps_and_the_same_result():
    problem = make_problem("vanilla", 40, 2, 4, 4, "float32", "cpu", 0)
    plain, slowed = (load_user_backend(f"{planted_slowdown.__file__}:{name}")(problem) for name in ("plain", "slowed_5"))
    steps, honest = [], problem.cell.unroll
    object.__setattr__(problem.cell, "unroll", lambda x, *rest: (steps.append(len(x)), honest(x, *rest))[1])
    try:
        assert torch.equal(plain.infer(), slowed.infer()) and steps == [40, 2, 40]
    finally:
        object.__delattr__(problem.cell, "unroll")


def test_a_size_has_plain_work_its_repeat_and_two_others():
    names = [(case.backend.rpartition(":")[2], case.aa_repeat) for case in list_cases(LENGTHS[0], 5.0)]
    assert names == [("plain", False), ("plain", True), ("same", False), ("slowed_5", False)]


@pytest.mark.parametrize("share, runs, code, word", [(0.01, 25, 0, "passed"), (0.5, 6, 1, "not passed"), (0.01, 1, 1, "inconclusive")])
def test_its_command(bench, monkeypatch, share, runs, code, word):
    monkeypatch.setattr(calibration, "calibrate", lambda device, runs, percent, tell, found: simulated(share, runs, found))
    ended, out, _ = bench("calibrate", "--runs", str(runs), "--slowdown", "5%")
    assert ended == code and f"{word}: wanted are at most 5% wrong and at least 80% found" in out and "5% more time steps: " in out
    assert bench("calibrate", "--slowdown", "much")[0] == 2


def test_completed_runs_are_told_when_it_is_interrupted(bench, monkeypatch):
    def stop(device, runs, percent, tell, found):
        if runs > 1:
            simulated(0.01, 1, found)
        raise KeyboardInterrupt

    monkeypatch.setattr(calibration, "calibrate", stop)
    code, out, _ = bench("calibrate", "--runs", "2")
    assert code == 130 and "the same work: 0 of 3 called" in out and "inconclusive" in out
    code, out, err = bench("calibrate", "--runs", "1")
    assert (code, out) == (130, "") and err == "bench: interrupted\n"

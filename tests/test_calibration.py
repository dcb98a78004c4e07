"""Calibration on a clock of our own: quiet it passes, noisy it doesn't, and where nothing is planted nothing is found."""

import math
import random

import pytest
import torch

from bench.harness import calibration
from bench.measure import clock
from tests.command_line import bench

__all__ = ["bench"]

CPU = torch.device("cpu")


@pytest.fixture
def noisy(monkeypatch):
    """Makes a step take a microsecond, and each call off by a share of itself."""
    now, draw = [0.0], random.Random(3)
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def make(share: float) -> None:
        def steps(device):
            def run(count: int) -> None:
                now[0] += 1e-6 * count * math.exp(draw.gauss(0, share))

            return run

        monkeypatch.setattr(calibration, "make_steps", steps)

    return make


def calibrate(runs: int, slowdown: float) -> calibration.Calibration:
    told: list[str] = []
    found = calibration.calibrate(CPU, runs, slowdown, lambda words, finished: told.append(words))
    assert found.runs == len(told) == runs and found.slowed.total() == runs
    return found


def test_a_quiet_machine_passes_and_a_noisy_one_does_not(noisy):
    noisy(0.02)
    quiet = calibrate(12, 0.05)
    assert quiet.passed and quiet.same["tie"] == 12 and quiet.slowed["slower"] >= 11 and 0 < quiet.floor < 0.02
    noisy(0.30)
    loud = calibrate(5, 0.05)
    assert not loud.passed and loud.floor > quiet.floor


def test_where_nothing_is_planted_nothing_is_found(noisy):
    noisy(0.02)
    assert calibrate(4, 0.0).slowed["tie"] == 4


def test_threads_are_as_they_were(noisy):
    before = torch.get_num_threads()
    noisy(0.02)
    calibrate(1, 0.05)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("share, code, word", [(0.01, 0, "passed"), (0.5, 1, "not passed")])
def test_its_verb(bench, noisy, share, code, word):
    noisy(share)
    ended, out, _ = bench("calibrate", "--runs", "5", "--slowdown", "5%")
    assert ended == code and f"{word}: wanted are 99% ties and 95% slowdowns found" in out and "5% more time steps: " in out
    assert bench("calibrate", "--slowdown", "much")[0] == 2

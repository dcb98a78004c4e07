"""Interleaved trainings end where each would have ended alone."""

import dataclasses
import math

import numpy as np
import pytest

from bench.studies.training.round_robin import round_robin
from bench.studies.training.trainer import Training
from tests.single_thread import one_thread
from tests.small_trainings import CPU, EASY, quiet, trial

__all__ = ["one_thread"]


@pytest.mark.full
def test_by_turns_each_ends_where_it_would_have_alone():
    task = dataclasses.replace(EASY, steps=30, every=10, rates=(1e-3,))
    told, every = [], [trial(task, cell, seed=seed) for cell in ("minimal", "gru") for seed in (0, 1)]
    alone = [Training(task, t, CPU).run(quiet) for t in every]
    rng = np.random.default_rng(0)
    together = {
        training.trial: training.record(end)
        for training, end in round_robin(
            [Training(task, t, CPU) for t in every], rng, lambda t, point: told.append((t, point.step)), math.inf
        )
    }
    for record in alone:
        found = together[record.trial]
        assert [(p.step, p.loss, p.value) for p in found.curve] == [(p.step, p.loss, p.value) for p in record.curve]
        assert (found.final, found.end, found.largest) == (record.final, record.end, record.largest)
    rounds = [told[k : k + 4] for k in range(0, 16, 4)]
    assert [{step for _, step in found} for found in rounds] == [{0}, {10}, {20}, {30}]  # none is ahead of another by more than a look
    assert all({t for t, _ in found} == set(every) for found in rounds) and len({tuple(t for t, _ in found) for found in rounds}) > 1


def test_out_of_time_all_end_where_they_are():
    task = dataclasses.replace(EASY, steps=30, every=10, rates=(1e-3,))
    trainings = [Training(task, trial(task, cell), CPU) for cell in ("minimal", "gru")]
    ended = list(round_robin(trainings, np.random.default_rng(0), quiet, 0.0))
    assert [end for _, end in ended] == ["time", "time"] and [t.step for t in trainings] == [0, 0]

"""Which trainings there are, in which order, and widths of equal parameter count."""

import itertools

import numpy as np

import cells
from bench.studies.training import load_task
from bench.studies.training.training_plan import TrainingPlan, count_recurrent_parameters, matching_width
from tests.small_trainings import EASY


def test_equal_parameters():
    for cell in cells.DEFAULT:
        width = matching_width(cell, 10, count_recurrent_parameters("gru", 10, 64))
        off = [
            abs(count_recurrent_parameters(cell, 10, H) - count_recurrent_parameters("gru", 10, 64)) for H in (width - 1, width, width + 1)
        ]
        assert min(off) == off[1]
    assert matching_width("gru", 10, count_recurrent_parameters("gru", 10, 64)) == 64


def test_a_plan_gives_every_cell_its_turn_before_the_next_seed():
    trials = [t for _, t in TrainingPlan(EASY, ("gru", "minimal"), 2, ("hidden", "parameters")).trials()]
    assert [(t.seed, t.equal, t.cell) for t in trials] == list(itertools.product((0, 1), ("hidden", "parameters"), ("gru", "minimal")))
    assert len({t.H for t in trials}) == 2


def test_a_sequence_of_examples_is_of_its_sizes():
    trials = [t for _, t in TrainingPlan(load_task("sizes"), ("gru",), 1).trials()]
    assert [t.examples for t in trials] == [100, 300, 1000, 4000] and np.all([t.steps == trials[0].steps for t in trials])

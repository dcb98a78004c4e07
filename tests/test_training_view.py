"""The live table of trainings."""

from bench.harness import training_view
from bench.records.training_record import Point
from tests.single_thread import one_thread
from tests.small_trainings import EASY, trial

__all__ = ["one_thread"]


def test_a_live_table_has_those_that_were_last_told_of():
    """Twenty interleaved trainings, eight of which have ended."""
    shown = training_view.TrainingView("accuracy", None)
    every = [trial(EASY, seed=seed) for seed in range(20)]
    for step, told in ((0, every), (50, every[8:])):
        for one in told:
            shown.add_point(one, Point(seconds=0.0, step=step, loss=None, value=0.5))
    seeds = list(shown.make_table().columns[2].cells)
    assert seeds == [str(seed) for seed in range(8, 20)] and len(seeds) == training_view.ROWS

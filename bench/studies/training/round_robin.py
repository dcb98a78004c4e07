"""Interleaved trainings: each is trained up to its next evaluation, all in a random order, and so on until every one has ended.

What a machine does to one minute it does to all of them, so that their times can be compared. None knows of another: each ends where it
would have ended alone, on a CPU bit by bit.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from bench.records.training_record import End
from bench.studies.training.trainer import Tell, Training


def round_robin(trainings: Iterable[Training], rng: np.random.Generator, tell: Tell, until: float) -> Iterator[tuple[Training, End]]:
    """Each training and why it ended, as it ends; after `until`, by `time.monotonic`, all that are left end where they are."""
    left = list(trainings)
    while left:
        for training in [left[k] for k in rng.permutation(len(left))]:
            if end := training.train_until_eval(tell, until):
                left.remove(training)
                yield training, end

"""Interleaves trainings: each one runs up to its next evaluation, in random order, until all have ended.

Changes of the machine's speed affect all trainings equally, so their times are comparable. Trainings don't affect each other: each gives
the result that it would give alone, on a CPU bit for bit.
"""

from collections.abc import Iterable, Iterator

import numpy as np

from bench.records.training_record import End
from bench.studies.training.trainer import Tell, Training


def round_robin(trainings: Iterable[Training], rng: np.random.Generator, tell: Tell, until: float) -> Iterator[tuple[Training, End]]:
    """Runs trainings interleaved and yields each with the reason of its end, as it ends.

    Args:
        trainings: The trainings.
        rng: The generator of the order.
        tell: Called with every evaluation.
        until: The time, on the clock of `time.monotonic`, at which all remaining trainings end.
    """
    left = list(trainings)
    while left:
        for training in [left[k] for k in rng.permutation(len(left))]:
            if end := training.train_until_eval(tell, until):
                left.remove(training)
                yield training, end

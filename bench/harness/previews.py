"""Runs short previews of `bench jacobian`, `theory`, `chaos` and `train`; together they take a few seconds of `bench all`."""

from collections.abc import Callable, Iterator

import torch

from bench.harness.settings import Settings
from bench.records import Record
from bench.studies.signals import signal_plan
from bench.studies.signals.single_thread import one_thread
from bench.studies.training.trainings import preview_training


def preview(kind: str, settings: Settings, say: Callable[[str], None]) -> Iterator[Record]:
    """Yields the records of a short study.

    Args:
        kind: "dynamics" for the signal studies, "learning" for a training.
        settings: The settings of the run.
        say: Called with a line of progress.
    """
    with one_thread():
        if kind == "learning":
            yield from preview_training(torch.device(settings.device), say)
        else:
            yield from (measure() for _, measure in signal_plan.preview_pieces(settings.device, settings.seed))

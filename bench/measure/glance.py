"""A few seconds, in a run of everything, of what `bench jacobian`, `theory`, `chaos` and `train` do in full."""

from collections.abc import Callable, Iterator

import torch

from bench.dynamics import plan
from bench.dynamics.thread import one_thread
from bench.records import Record
from bench.settings import Settings
from bench.tasks.run import short


def glance(kind: str, settings: Settings, say: Callable[[str], None]) -> Iterator[Record]:
    """Of "dynamics" or "learning"."""
    with one_thread():
        if kind == "learning":
            yield from short(torch.device(settings.device), say)
        else:
            yield from (measure() for _, measure in plan.short(settings.device, settings.seed))

"""Timing: the contestants of one shape take turns, in random order, until each has its samples."""

import gc
import math
import random
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from typing import TypeVar

import torch
from scipy.stats import binom

from bench.records import Stop


@dataclass
class Samples:
    """Seconds per call, the round each was taken in, and why there are no more."""

    seconds: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    stopped: Stop = ""

    @property
    def spread(self) -> float:
        """Half the width of the median's 95% interval over the median: that of order statistics, which needs no resampling (Conover
        1999, §3.2); infinite below six samples."""
        ordered, n = sorted(self.seconds), len(self.seconds)
        rank = _rank(n)
        return (ordered[n - rank] - ordered[rank - 1]) / (2 * median(ordered)) if rank else math.inf


@cache
def _rank(n: int) -> int:
    """Of `n` samples the r-th smallest and the r-th largest hold the median with 95% probability; 0 where none do."""
    return int(binom.ppf(0.025, n, 0.5))


@dataclass(frozen=True)
class Rule:
    """When a contestant has enough: after at least `fewest` samples, once the median is known to ± `target` of itself, or `seconds` were
    spent on it, or there are `most`."""

    fewest: int = 5
    most: int = 50
    seconds: float = 0.05
    target: float = 0.02

    def stop(self, samples: Samples) -> Stop:
        """Why it has enough, "" where it hasn't."""
        n = len(samples.seconds)
        if n < self.fewest:
            return ""
        if samples.spread <= self.target:
            return "precise"
        return "time" if sum(samples.seconds) >= self.seconds else "count" if n >= self.most else ""


Key = TypeVar("Key", bound=Hashable)


def interleave(
    contestants: Mapping[Key, Callable[[], object]],
    rule: Rule,
    seed: int,
    device: torch.device,
    turn: Callable[[Key], None],
    done: Callable[[Key, Samples], None],
    failed: Callable[[Key, Exception], None],
) -> None:
    """Time every contestant, one call each a round, in an order drawn anew for every round from `seed`.

    `turn` is told whose turn is next, outside the timed window; `done` gets a contestant's samples once it has enough. One
    that raises is out of the race, and `failed` is told. If the run is interrupted, `done` gets the samples of everyone who
    has the fewest that will do. The garbage collector is off meanwhile.
    """
    taken = {key: Samples() for key in contestants}
    waiting = list(contestants)
    order = random.Random(seed)
    number = 0
    gc.collect()
    gc.disable()
    try:
        while waiting:
            for key in order.sample(waiting, len(waiting)):
                turn(key)
                try:
                    taken[key].seconds.append(once(contestants[key], device))
                except Exception as error:
                    waiting.remove(key)
                    failed(key, error)
                    continue
                taken[key].rounds.append(number)
                taken[key].stopped = rule.stop(taken[key])
                if taken[key].stopped:
                    waiting.remove(key)
                    done(key, taken[key])
            number += 1
    except KeyboardInterrupt:
        for key in waiting:
            if len(taken[key].seconds) >= rule.fewest:
                taken[key].stopped = "interrupted"
                done(key, taken[key])
        raise
    finally:
        gc.enable()


AHEAD = 4_000_000
"""Cycles that a GPU is kept busy before a call, some 2 ms: so far ahead the host may issue work, as it does in a training loop."""


def once(call: Callable[[], object], device: torch.device) -> float:
    """Seconds that the device works on the call; on a GPU the host's own time is among them where it takes more than a head start."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(device)
        torch.cuda._sleep(AHEAD)
        start.record()
        call()
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def fastest(call: Callable[[], object], device: torch.device, samples: int) -> float:
    """Seconds of the fastest of several calls, after one that warms up: whatever disturbs a machine only slows it."""
    call()
    return min(once(call, device) for _ in range(samples))

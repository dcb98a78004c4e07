"""Timing: the calls of one shape are interleaved, in random order, until each has its samples."""

import gc
import math
import random
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import median
from typing import Any, TypeVar

import torch
from scipy.special import bdtr

from bench.measure.conditions import read_conditions
from bench.records import HEAD_START_CYCLES, Reading, Stop


@dataclass(frozen=True)
class Contestant:
    """A call to be timed, and what makes it ready, which isn't."""

    call: Callable[[], object]
    setup: Callable[[], object] = tuple


@dataclass
class Samples:
    """Seconds per call, the round each was taken in, and why there are no more; on a GPU the seconds after which each call came back
    to the host, and how the GPU was then."""

    seconds: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    stopped: Stop = ""

    @property
    def ci_half_width(self) -> float:
        """Half the width of the median's 95% interval over the median: that of order statistics, which needs no resampling (Conover
        1999, §3.2); infinite below six samples."""
        ordered, n = sorted(self.seconds), len(self.seconds)
        rank = _rank(n)
        return (ordered[n - rank] - ordered[rank - 1]) / (2 * median(ordered)) if rank else math.inf


@cache
def _rank(n: int) -> int:
    """Return r such that the r-th smallest and r-th largest of `n` samples enclose the median with 95% probability; 0 if none do."""
    return next((r for r in range(n) if bdtr(r, n, 0.5) >= 0.025), 0)


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
        if samples.ci_half_width <= self.target:
            return "precise"
        return "time" if sum(samples.seconds) >= self.seconds else "count" if n >= self.most else ""


LEAN = Rule(fewest=10, most=20, seconds=0.1, target=0.005)
QUICK = Rule(fewest=3, most=5, seconds=0.1)
THOROUGH = Rule(fewest=20, most=100, seconds=0.5, target=0.01)
RULES = {"cpu": Rule(fewest=5, most=50, seconds=0.05, target=0.02), "cuda": Rule(fewest=10, most=100, seconds=0.25, target=0.005)}


def choose_rule(device: torch.device, quick: bool, lean: bool, thorough: bool) -> Rule:
    """The rule of a run: on a GPU every run that is neither quick nor lean is thorough already."""
    if quick or lean:
        return QUICK if quick else LEAN
    return THOROUGH if thorough and device.type == "cpu" else RULES[device.type]


Key = TypeVar("Key", bound=Hashable)


class Interrupted(KeyboardInterrupt):
    """A race was interrupted, when it was the turn of `key`; `taken` has the samples of everyone who has enough."""

    def __init__(self, taken: Mapping[Any, Samples], key: Any):
        super().__init__()
        self.taken, self.key = taken, key


def interleave(
    contestants: Mapping[Key, Contestant], rule: Rule, seed: int, device: torch.device,
    on_turn: Callable[[Key], None], on_error: Callable[[Key, Exception], None],
) -> dict[Key, Samples]:  # fmt: skip
    """The samples of every contestant: one call each a round, in an order drawn anew for every round from `seed`.

    `turn` is told whose turn is next, outside the timed window. One that raises is out of the race, and `failed` is told. The garbage
    collector is off meanwhile. Raises Interrupted in place of KeyboardInterrupt.
    """
    taken: dict[Key, Samples] = {key: Samples() for key in contestants}
    waiting = list(contestants)
    order = random.Random(seed)
    number = 0
    gc.collect()
    gc.disable()
    try:
        while waiting:
            for key in order.sample(waiting, len(waiting)):
                on_turn(key)
                try:
                    take_sample(contestants[key], device, number, taken[key])
                except Exception as error:
                    waiting.remove(key)
                    del taken[key]
                    on_error(key, error)
                    continue
                taken[key].stopped = rule.stop(taken[key])
                if taken[key].stopped:
                    waiting.remove(key)
            number += 1
    except KeyboardInterrupt:
        for other in waiting:
            taken[other].stopped = "interrupted"
        raise Interrupted({key: samples for key, samples in taken.items() if len(samples.seconds) >= rule.fewest}, key) from None
    finally:
        gc.enable()
    return taken


def take_sample(contestant: Contestant, device: torch.device, number: int, taken: Samples) -> None:
    """Time one call, and look at the GPU after it."""
    contestant.setup()
    spent, host = time_once(contestant.call, device)
    taken.seconds.append(spent)
    taken.rounds.append(number)
    if device.type == "cuda":
        taken.host.append(host)
        found = read_conditions(device)
        if found:
            taken.readings.append(found)


def time_once(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Seconds that the device works on the call, and those after which it came back to the host. Where the host takes more than its
    head start on a GPU, that is among the former."""
    if device.type == "cuda":
        start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize(device)
        torch.cuda._sleep(HEAD_START_CYCLES)
        start.record()
        begin = time.perf_counter()
        call()
        host = time.perf_counter() - begin
        end.record()
        torch.cuda.synchronize(device)
        return start.elapsed_time(end) / 1e3, host
    begin = time.perf_counter()
    call()
    spent = time.perf_counter() - begin
    return spent, spent


def time_fastest(call: Callable[[], object], device: torch.device, samples: int) -> float:
    """Seconds of the fastest of several calls, after one that warms up: whatever disturbs a machine only slows it."""
    call()
    return min(time_once(call, device)[0] for _ in range(samples))


def time_calls(contestant: Contestant, device: torch.device, samples: int, before: Callable[[], object] = tuple) -> list[float]:
    """Seconds of several calls, each made ready, and after `before`."""
    found = []
    for _ in range(samples):
        contestant.setup()
        before()
        found.append(time_once(contestant.call, device)[0])
    return found

"""Times calls: the calls of one size are interleaved in random order until each has enough samples."""

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
from bench.records import Reading, Stop
from bench.records.case_record import HEAD_START_CYCLES


@dataclass(frozen=True)
class Contestant:
    """A call to time, and an untimed setup that runs before each call."""

    call: Callable[[], object]
    setup: Callable[[], object] = tuple


@dataclass
class Samples:
    """The samples of one contestant.

    Attributes:
        seconds: Seconds per call, in the order measured.
        rounds: The round in which each sample was taken.
        host: On a GPU, the seconds until each call returned to the host.
        readings: On a GPU, its state after each sample.
        stopped: Why sampling ended.
    """

    seconds: list[float] = field(default_factory=list)
    rounds: list[int] = field(default_factory=list)
    host: list[float] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    stopped: Stop = ""

    @property
    def ci_half_width(self) -> float:
        """Returns half the width of the median's 95% interval, divided by the median; infinity below six samples.

        The interval is that of order statistics, which needs no resampling (Conover 1999, Practical Nonparametric Statistics, §3.2).
        """
        ordered, n = sorted(self.seconds), len(self.seconds)
        rank = _rank(n)
        return (ordered[n - rank] - ordered[rank - 1]) / (2 * median(ordered)) if rank else math.inf


@cache
def _rank(n: int) -> int:
    """Returns r such that the r-th smallest and r-th largest of n samples enclose the median with probability 95%; 0 if no r does."""
    return next((r for r in range(n) if bdtr(r, n, 0.5) >= 0.025), 0)


@dataclass(frozen=True)
class Rule:
    """Decides when a contestant has enough samples.

    It stops after at least `fewest` samples, when the median is known to ± `target` of itself, `seconds` were spent, or there are `most`.
    """

    fewest: int = 5
    most: int = 50
    seconds: float = 0.05
    target: float = 0.02

    def find_stop_reason(self, samples: Samples) -> Stop:
        """Returns "precise", "time" or "count" if sampling ends, or "" if it continues."""
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


def choose_rule(device: torch.device, quick: bool, lean: bool, thorough: bool, samples: int = 0) -> Rule:
    """Returns the sampling rule of a run. If `samples` isn't 0, every contestant has as many. Otherwise QUICK and LEAN apply on every
    device, THOROUGH on a CPU only: a GPU always has its own rule."""
    if samples:
        return Rule(fewest=samples, most=samples)
    if quick or lean:
        return QUICK if quick else LEAN
    return THOROUGH if thorough and device.type == "cpu" else RULES[device.type]


Key = TypeVar("Key", bound=Hashable)


class Interrupted(KeyboardInterrupt):
    """An interrupt during `interleave`. `taken` has the samples of every contestant that has enough, `key` is the running one."""

    def __init__(self, taken: Mapping[Any, Samples], key: Any):
        super().__init__()
        self.taken, self.key = taken, key


def interleave(
    contestants: Mapping[Key, Contestant], rule: Rule, seed: int, device: torch.device,
    on_turn: Callable[[Key], None], on_error: Callable[[Key, Exception], None],
) -> dict[Key, Samples]:  # fmt: skip
    """Times every contestant: one call per round, in an order drawn anew for each round. The garbage collector is off meanwhile.

    Args:
        contestants: The calls, by key.
        rule: Decides when a contestant has enough samples.
        seed: Seeds the order of the calls.
        device: The device that the calls run on.
        on_turn: Called with a key before its call, outside the timed window.
        on_error: Called with the key and the error of a contestant that raised. It takes no further part.

    Returns:
        The samples of every contestant that did not raise.

    Raises:
        Interrupted: Ctrl-C was pressed; it replaces KeyboardInterrupt.
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
                taken[key].stopped = rule.find_stop_reason(taken[key])
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
    """Times one call and, on a GPU, reads its state afterwards."""
    contestant.setup()
    spent, host = time_once(contestant.call, device)
    taken.seconds.append(spent)
    taken.rounds.append(number)
    if device.type == "cuda":
        taken.host.append(host)
        taken.readings += filter(None, [read_conditions(device)])


def time_once(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Times one call.

    Returns:
        The seconds that the device worked, and the seconds until the call returned to the host. On a GPU the host has a head start; what it
            takes beyond that is part of the first number.
    """
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
    """Returns the seconds of the fastest of several calls after one warm-up call. The minimum is used because disturbances only slow a
    call."""
    call()
    return min(time_once(call, device)[0] for _ in range(samples))


def time_calls(contestant: Contestant, device: torch.device, samples: int, before: Callable[[], object] = tuple) -> list[float]:
    """Returns the seconds of several calls. `before` runs after the setup of each call, untimed."""
    found = []
    for _ in range(samples):
        contestant.setup()
        before()
        found.append(time_once(contestant.call, device)[0])
    return found

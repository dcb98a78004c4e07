"""Times calls: the calls of one size are interleaved in random order until each has enough samples."""

import gc
import random
import time
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, TypeVar

import torch

from bench.measure.conditions import read_conditions
from bench.records import Reading, Stop
from bench.records.case_record import HEAD_START_CYCLES

Timer = Callable[[Callable[[], object], torch.device], tuple[float, float]]


@dataclass
class Contestant:
    """A call to time.

    Attributes:
        call: The call.
        setup: Runs before each call, untimed.
        gradients: Whether torch records operations for gradients meanwhile.
        elsewhere: Whether the call runs in a process of its own.
    """

    call: Callable[[], Any]
    setup: Callable[[], object] = tuple
    gradients: bool = True
    elsewhere: ClassVar[bool] = False

    def take_turn(self, device: torch.device, timer: Timer, calls: int, warm: bool) -> list[tuple[float, float]]:
        """Times some calls in a row.

        Args:
            device: The device that the calls run on.
            timer: Times a call.
            calls: The number of calls.
            warm: Whether an untimed call comes first.

        Returns:
            What the timer returned for each call.
        """
        with torch.set_grad_enabled(self.gradients):
            if warm:
                self.setup()
                self.call()
            return [(self.setup(), timer(self.call, device))[1] for _ in range(calls)]


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


@dataclass(frozen=True)
class Rule:
    """Decides how often a contestant is built anew, and how many calls of each build are timed.

    Attributes:
        fewest: The fewest calls of a build.
        most: The most calls of a build.
        seconds: The seconds of calls after which a build has enough.
        builds: The number of builds. It is fixed, since an interval over builds is right only if their number doesn't depend on them.
        burst: The calls in a row of one turn. If there are several, an untimed call comes first.
    """

    fewest: int = 1
    most: int = 8
    seconds: float = 0.01
    builds: int = 9
    burst: int = 1

    def find_stop_reason(self, samples: Samples) -> Stop:
        """Returns "time" or "count" if a build has enough samples, or "" if it continues."""
        n = len(samples.seconds)
        if n < self.fewest:
            return ""
        return "time" if sum(samples.seconds) >= self.seconds else "count" if n >= self.most else ""


LEAN = Rule(most=3, builds=6)
QUICK = Rule(most=3, builds=2)
THOROUGH = Rule(fewest=3, most=12, seconds=0.05, builds=12)
TAIL = Rule(fewest=100, most=100, builds=6, burst=20)
"""Enough calls for their 99th percentile, as they follow one another in a stream."""
RULES = {"cpu": Rule(), "cuda": Rule(fewest=2, most=12, seconds=0.03)}


SHORT, TINY = 0.01, 0.001
"""The seconds of a call on a CPU below which its threads take part of its time to wake up, and those below which it takes long to read
again what the caches lost to others. Beside contestants elsewhere, where all threads sleep before each turn, an untimed call comes before a
short one; otherwise before a tiny one."""
WARM_SECONDS, WARM_CALLS, LONG = 0.005, 10, 0.25
"""On a CPU a call is repeated, untimed, for so many seconds or so many times before the first timed one of a build, but at least twice; one
that takes LONG isn't. The first calls of a process are slower: they prepare and allocate what later ones use again."""


def choose_rule(
    device: torch.device, quick: bool = False, lean: bool = False, thorough: bool = False, samples: int = 0, tail: bool = False
) -> Rule:
    """Returns the sampling rule of a run. QUICK and LEAN apply on every device, THOROUGH and TAIL on a CPU only: a GPU has its own rule. If
    `samples` isn't 0, every build has as many calls."""
    cpu = device.type == "cpu"
    rule = TAIL if tail and cpu else QUICK if quick else LEAN if lean else THOROUGH if thorough and cpu else RULES[device.type]
    builds = QUICK.builds if quick else rule.builds
    rule = replace(rule, builds=builds)
    return replace(rule, fewest=samples, most=samples, burst=min(samples, rule.burst)) if samples else rule


Key = TypeVar("Key", bound=Hashable)


class Interrupted(KeyboardInterrupt):
    """An interrupt during `interleave`. `taken` has the samples of every contestant that has enough, `key` is the running one."""

    def __init__(self, taken: Mapping[Any, Samples], key: Any):
        super().__init__()
        self.taken, self.key = taken, key


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


def interleave(
    contestants: Mapping[Key, Contestant], rule: Rule, seed: int, device: torch.device,
    on_turn: Callable[[Key], None], on_error: Callable[[Key, Exception], None], timer: Timer = time_once,
) -> dict[Key, Samples]:  # fmt: skip
    """Times every contestant of one build: one turn per round, in an order drawn anew for each round. The garbage collector is off
    meanwhile.

    Args:
        contestants: The calls, by key.
        rule: Decides when a contestant has enough samples.
        seed: Seeds the order of the calls.
        device: The device that the calls run on.
        on_turn: Called with a key before its call, outside the timed window.
        on_error: Called with the key and the error of a contestant that raised. It takes no further part.
        timer: Times a call. A simulation has its own.

    Returns:
        The samples of every contestant that did not raise.

    Raises:
        Interrupted: Ctrl-C was pressed; it replaces KeyboardInterrupt.
    """
    taken: dict[Key, Samples] = {key: Samples() for key in contestants}
    waiting = list(contestants)
    order = random.Random(seed)
    brief = SHORT if any(contestant.elsewhere for contestant in contestants.values()) else TINY
    number, fastest = 0, dict[Key, float]()
    gc.collect()
    gc.disable()
    try:
        while waiting:
            for key in order.sample(waiting, len(waiting)):
                on_turn(key)
                warm = rule.burst > 1 or (device.type == "cpu" and fastest.get(key, SHORT) < brief)
                try:
                    take_samples(contestants[key], device, range(number, number + rule.burst), taken[key], timer, warm)
                    if key not in fastest:
                        fastest[key] = min(taken[key].seconds)
                        if device.type == "cpu" and fastest[key] < LONG:
                            fastest[key], taken[key] = warm_up(contestants[key], device, timer), Samples()
                except Exception as error:
                    waiting.remove(key)
                    del taken[key]
                    on_error(key, error)
                    continue
                taken[key].stopped = rule.find_stop_reason(taken[key])
                if taken[key].stopped:
                    waiting.remove(key)
            number += rule.burst
    except KeyboardInterrupt:
        for other in waiting:
            taken[other].stopped = "interrupted"
        raise Interrupted({key: samples for key, samples in taken.items() if len(samples.seconds) >= rule.fewest}, key) from None
    finally:
        gc.enable()
    return taken


def warm_up(contestant: Contestant, device: torch.device, timer: Timer) -> float:
    """Calls a contestant as often as WARM_SECONDS and WARM_CALLS say, and returns the seconds of the fastest call."""
    spent: list[float] = []
    while sum(spent) < WARM_SECONDS and len(spent) < WARM_CALLS:
        spent.append(contestant.take_turn(device, timer, 1, False)[0][0])
    return min(spent)


def take_samples(contestant: Contestant, device: torch.device, rounds: range, taken: Samples, timer: Timer, warm: bool) -> None:
    """Times a call for each of the rounds, in a row, and, on a GPU, reads its state afterwards."""
    for number, (spent, host) in zip(rounds, contestant.take_turn(device, timer, len(rounds), warm), strict=True):
        taken.seconds.append(spent)
        taken.rounds.append(number)
        if device.type == "cuda":
            taken.host.append(host)
            taken.readings += filter(None, [read_conditions(device)])


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
        with torch.set_grad_enabled(contestant.gradients):
            found.append(time_once(contestant.call, device)[0])
    return found

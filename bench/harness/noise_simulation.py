"""Simulates the noise of machines through the code that times and judges a run: `python -m bench calibrate --simulate`.

A simulated run has the contestants of a calibration (`bench.harness.calibration`) and a clock of its own. The order of the calls, their
number, the builds, the intervals and the verdicts come from the functions that real runs call.
"""

import gc
import math
import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from bench.analysis.median_ci import median_ci
from bench.harness.calibration import LENGTHS, Calibration, list_cases
from bench.harness.planted_slowdown import PREFIX
from bench.measure.clock import Contestant, Rule, Samples, interleave
from bench.records import Case, CaseRecord
from bench.records.case_record import join_builds

PERCENT = 5.0
"""The planted slowdown."""
CPU = torch.device("cpu")

Noise = Callable[[Case, int], float]
"""Returns the logarithm of the factor by which a call of a case in a build is slower than its true time. It is called once for a call."""


def independent(draw: random.Random, share: float) -> Noise:
    return lambda case, build: draw.gauss(0, share)


def heavy_tails(draw: random.Random, share: float) -> Noise:
    """Student's t with two degrees of freedom, whose variance is infinite, and without its faster half: nothing speeds a call up."""
    return lambda case, build: math.log1p(share * abs(draw.gauss(0, 1)) / math.sqrt(draw.expovariate(1)))


def drift(draw: random.Random, share: float) -> Noise:
    """The machine slows down steadily, by `share` in 1,000 calls."""
    calls = iter(range(10**9))
    return lambda case, build: draw.gauss(0, 0.02) + share * next(calls) / 1000


def regimes(draw: random.Random, share: float) -> Noise:
    """The machine changes between two speeds, at one call in 50."""
    slow = [False]

    def noise(case: Case, build: int) -> float:
        slow[0] ^= draw.random() < 0.02
        return draw.gauss(0, 0.02) + share * slow[0]

    return noise


def bursts(draw: random.Random, share: float) -> Noise:
    """Another program slows some calls in succession, twice or more."""
    left = [0]

    def noise(case: Case, build: int) -> float:
        left[0] = draw.randrange(2, 8) if draw.random() < share / 5 else max(0, left[0] - 1)
        return draw.gauss(0, 0.02) + (math.log(2 + draw.expovariate(1)) if left[0] else 0.0)

    return noise


def by_build(draw: random.Random, share: float) -> Noise:
    """A constant of each case in each build: where its code and data lie."""
    constants: dict[tuple[Case, int], float] = {}
    return lambda case, build: constants.setdefault((case, build), draw.gauss(0, share)) + draw.gauss(0, 0.005)


def autoregressive(draw: random.Random, share: float, restarts: bool, strength: float = 0.9) -> Noise:
    """Noise of each case that lasts for some ten calls; it begins anew in each build, or doesn't."""
    states: dict[tuple[Case, int], float] = {}

    def noise(case: Case, build: int) -> float:
        key = case, build if restarts else 0
        step = draw.gauss(0, share * math.sqrt(1 - strength**2))
        states[key] = strength * states[key] + step if key in states else draw.gauss(0, share)
        return states[key]

    return noise


def across_builds(draw: random.Random, share: float, strength: float) -> Noise:
    """A constant of each case in each build that resembles the one before."""
    levels = autoregressive(draw, share, restarts=False, strength=strength)
    constants: dict[tuple[Case, int], float] = {}

    def noise(case: Case, build: int) -> float:
        if (case, build) not in constants:
            constants[case, build] = levels(case, build)
        return constants[case, build] + draw.gauss(0, 0.005)

    return noise


KINDS: dict[str, Callable[[random.Random], Noise]] = {
    **{f"independent, {share:.0%}": partial(independent, share=share) for share in (0.01, 0.05, 0.15)},
    **{f"heavy tails, {share:.0%}": partial(heavy_tails, share=share) for share in (0.02, 0.05)},
    "drift, 20% in 1,000 calls": partial(drift, share=0.2),
    "machine-wide regimes, 40%": partial(regimes, share=0.4),
    "bursts, a fifth of the calls": partial(bursts, share=0.2),
    **{f"a constant of each build, {share:.0%}": partial(by_build, share=share) for share in (0.01, 0.02, 0.03)},
    "lasts within a build (AR 0.9), 2%": partial(autoregressive, share=0.02, restarts=True),
    "lasts across builds by call (AR 0.9), 2%": partial(autoregressive, share=0.02, restarts=False),
    "lasts across builds (AR 0.5 by build), 2%": partial(across_builds, share=0.02, strength=0.5),
    "lasts across builds (AR 0.9 by build), 2%": partial(across_builds, share=0.02, strength=0.9),
}
"""The kinds of noise."""


@dataclass(frozen=True)
class Simulation:
    """The verdicts on one kind of noise.

    Attributes:
        kind: A key of KINDS.
        seconds: The true seconds of a call, which decide how many calls are timed in a build.
        samples: The calls of a case in a run, over all builds.
        found: The verdicts.
    """

    kind: str
    seconds: float
    samples: int
    found: Calibration


def simulate_kinds(rule: Rule, runs: int, seconds: tuple[float, ...] = (0.001, 0.03)) -> Iterator[Simulation]:
    """Yields the verdicts on each kind of noise, for calls of each duration."""
    for kind in KINDS:
        for taken in seconds:
            draw, found = random.Random(f"{kind} {taken}"), Calibration()
            for _ in range(runs):
                records = simulate_run(KINDS[kind](draw), rule, taken, draw)
                found.add_run(records)
            yield Simulation(kind, taken, len(records[0].samples), found)


def simulate_run(noise: Noise, rule: Rule, seconds: float, draw: random.Random) -> list[CaseRecord]:
    """Returns the records of a run: at each size, plain work, its A/A repeat, the same work, and slower work."""
    gc.freeze()  # every build collects garbage first, which takes longer than to simulate it
    try:
        return [record for T in LENGTHS for record in simulate_group(list_cases(T, PERCENT), noise, rule, seconds, draw)]
    finally:
        gc.unfreeze()


def simulate_group(
    cases: Sequence[Case], noise: Noise, rule: Rule, seconds: float, draw: random.Random
) -> Iterator[CaseRecord]:  # fmt: skip
    """Yields the records of a timing group."""
    builds: dict[Case, list[CaseRecord]] = {case: [] for case in cases}
    for build in range(rule.builds):
        calls = {case: Contestant(partial(simulate_call, noise, case, build, seconds)) for case in builds}
        for case, samples in interleave(calls, rule, draw.randrange(2**32), CPU, ignore_turn, raise_error, read_clock).items():
            builds[case].append(make_record(case, build, samples))
    yield from map(join_builds, builds.values())


def simulate_call(noise: Noise, case: Case, build: int, seconds: float) -> float:
    """Returns the seconds of a call."""
    slower = 1 + PERCENT / 100 if PREFIX in case.backend else 1.0
    return seconds * slower * math.exp(noise(case, build))


def read_clock(call: Callable[[], object], device: torch.device) -> tuple[float, float]:
    """Returns the seconds that a simulated call reports."""
    return float(call()), 0.0  # type: ignore[arg-type]


def make_record(case: Case, build: int, samples: Samples) -> CaseRecord:
    return CaseRecord(
        case=case,
        status="ok",
        samples=samples.seconds,
        rounds=samples.rounds,
        builds=[build] * len(samples.seconds),
        stopped=samples.stopped,
    )


def ignore_turn(case: Case) -> None:
    pass


def raise_error(case: Case, error: Exception) -> None:
    raise error


SHAPES: dict[str, Callable[[random.Random], float]] = {
    "normal, 5%": lambda draw: math.exp(draw.gauss(0, 0.05)),
    "heavy tails": lambda draw: math.exp(0.05 * draw.gauss(0, 1) / draw.uniform(0.01, 1)),
    "exponential": lambda draw: (1 + draw.expovariate(1)) / (1 + math.log(2)),
    "two speeds": lambda draw: math.exp(draw.gauss(0, 0.02) + 0.2 * (1 if draw.random() < 0.5 else -1)),
}
"""Distributions of the time of a build whose median is 1."""


def measure_coverage(shape: str, n: int, runs: int) -> float:
    """Returns the share of intervals over n builds that contain the true median."""
    draw = random.Random(f"{shape} {n}")
    found = (median_ci(tuple(SHAPES[shape](draw) for _ in range(n))) for _ in range(runs))
    return sum(interval.low <= 1 <= interval.high for interval in found) / runs

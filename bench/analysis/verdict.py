"""Judges a ratio of speeds as faster, slower, tie, ambiguous or unstable, given the noise of the run."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bench.analysis.median_ci import FEWEST, Estimate
from bench.analysis.persistence import widening_factor
from bench.analysis.summary import is_timed, median_time, speedup_ci, times_by_build
from bench.records import CaseRecord

Verdict = Literal["faster", "slower", "tie", "ambiguous", "unstable"]

NOISE = 0.02
"""The smallest margin of a run. A few A/A pairs can agree by chance, while the memory layout of code and data alone changes the time of a
program by percents (Mytkowicz et al. 2009)."""
WIDEST = 0.10
"""The largest distance from 1 of the interval of a tie: a ratio that could still be 10% is not a tie."""


@dataclass(frozen=True)
class Speed:
    """The speed of a case relative to another one, and its verdict."""

    ratio: Estimate
    verdict: Verdict


def judge(ratio: Estimate, margin: float, throttled: bool = False) -> Verdict:
    """Judges a ratio of speeds.

    The first rule that holds decides. A throttled clock or fewer than FEWEST samples: "ambiguous". Median outside the margin and interval
    excluding 1: "faster" or "slower". Median inside the margin and interval within WIDEST of 1: "tie". Otherwise: "ambiguous".

    Args:
        ratio: The ratio with its interval.
        margin: The relative difference that noise can cause.
        throttled: Whether a clock was throttled.
    """
    if throttled or ratio.n < FEWEST:
        return "ambiguous"
    if relative_difference(ratio.value) > margin and not ratio.low <= 1 <= ratio.high:
        return "faster" if ratio.value > 1 else "slower"
    if relative_difference(ratio.value) <= margin and max(relative_difference(ratio.low), relative_difference(ratio.high)) <= WIDEST:
        return "tie"
    return "ambiguous"


def relative_difference(ratio: float) -> float:
    """Returns the distance of a ratio from 1, the same for its inverse: 0.25 for 1.25 and for 1/1.25."""
    return max(ratio, 1 / ratio) - 1 if ratio else math.inf


def is_throttled(record: CaseRecord) -> bool:
    """Returns whether the clock was throttled after any sample."""
    return any(reading.throttled for reading in record.readings)


def compare_cases(record: CaseRecord, peer: CaseRecord, noise: "Noise") -> Speed | None:
    """Returns the speed of a case relative to a peer of the same run, or None if there is none (`summary.speedup_ci`).

    The speed is paired by build, while a table has the times of both cases as well. It is "unstable" if the ratio of those two times lies
    outside its interval: what slowed the machine then has not slowed both alike.
    """
    ratio = speedup_ci(record, peer)
    if ratio is None:
        return None
    ratio = ratio.widen(noise.widening)
    if ratio.bounded and not ratio.low <= median_time(peer).value / median_time(record).value <= ratio.high:
        return Speed(ratio, "unstable")
    return Speed(ratio, judge(ratio, noise.margin, is_throttled(record) or is_throttled(peer)))


@dataclass(frozen=True)
class Noise:
    """The noise of a run.

    Attributes:
        pairs: Its A/A pairs, each with a repeated case and the ratio to the original.
        widening: The factor by which intervals of ratios are widened, since the noise of a case lasts across builds.
    """

    pairs: tuple[tuple[CaseRecord, Estimate], ...] = ()
    widening: float = 1.0

    @property
    def floor(self) -> float:
        """Returns the largest relative difference of a pair; 0 without pairs."""
        return max((relative_difference(ratio.value) for _, ratio in self.pairs), default=0.0)

    @property
    def margin(self) -> float:
        """Returns the relative difference below which a median counts as noise."""
        return max(NOISE, self.floor)


def measure_noise(cases: Iterable[CaseRecord]) -> Noise:
    """Returns the A/A pairs of a run that were timed in the same rounds, and how long its noise lasts."""
    known = {record.case: record for record in cases}
    controls = (record for record in known.values() if record.case.aa_repeat)
    twins = ((record, known.get(record.case.model_copy(update={"aa_repeat": False}))) for record in controls)
    ratios = ((record, speedup_ci(record, twin) if twin else None) for record, twin in twins)
    groups: dict[tuple[object, ...], list[tuple[float, ...]]] = {}
    for record in known.values():
        if record.builds and is_timed(record):
            times, case = times_by_build(record), record.case
            groups.setdefault((case.T, case.B, case.D, case.dtype, len(times)), []).append(times)
    return Noise(tuple((record, ratio) for record, ratio in ratios if ratio), widening_factor(groups.values()))

"""Faster, slower, a tie or ambiguous: what a ratio of speeds says, beside how much the same thing measured twice differs."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from bench.analysis.median_ci import FEWEST, Estimate
from bench.analysis.summary import speed
from bench.records import CaseRecord

Verdict = Literal["faster", "slower", "tie", "ambiguous"]

NOISE = 0.02
"""The least margin of a run. A few A/A pairs can agree by luck, while where code and data happen to lie in memory alone moves the time
of a program by percents (Mytkowicz et al. 2009)."""
WIDEST = 0.10
"""How far the interval of a tie may reach: what could still be a tenth faster is not known to be a tie."""


@dataclass(frozen=True)
class Speed:
    """How many times as fast as another a case is, and what may be said of it."""

    ratio: Estimate
    verdict: Verdict


def verdict(ratio: Estimate, margin: float, throttled: bool = False) -> Verdict:
    """What a ratio of speeds says. `margin` is the relative difference that noise makes; `throttled` where a clock was held back.

    The first that holds: throttled or of too few samples, it is ambiguous. Outside the margin with an interval that excludes 1, it is
    faster or slower. Inside the margin with an interval no further from 1 than WIDEST, it is a tie. Else it is ambiguous.
    """
    if throttled or ratio.n < FEWEST:
        return "ambiguous"
    if apart(ratio.value) > margin and not ratio.low <= 1 <= ratio.high:
        return "faster" if ratio.value > 1 else "slower"
    if apart(ratio.value) <= margin and max(apart(ratio.low), apart(ratio.high)) <= WIDEST:
        return "tie"
    return "ambiguous"


def apart(ratio: float) -> float:
    """How far from 1 a ratio is, whichever way it is written: 0.25 of 1.25 and of 1/1.25."""
    return max(ratio, 1 / ratio) - 1 if ratio else math.inf


def throttled(record: CaseRecord) -> bool:
    return any(reading.throttled for reading in record.readings)


def compared(record: CaseRecord, peer: CaseRecord, margin: float) -> Speed | None:
    """Speed against a peer of the same run, by turns; None where there is none (`summary.speed`)."""
    ratio = speed(record, peer)
    return Speed(ratio, verdict(ratio, margin, throttled(record) or throttled(peer))) if ratio else None


@dataclass(frozen=True)
class Noise:
    """How much the same thing measured twice differs in a run: its A/A pairs, each a control and its ratio to the case it repeats."""

    pairs: tuple[tuple[CaseRecord, Estimate], ...] = ()

    @property
    def floor(self) -> float:
        """The largest relative difference of a pair; 0 without any."""
        return max((apart(ratio.value) for _, ratio in self.pairs), default=0.0)

    @property
    def margin(self) -> float:
        """The difference inside which a median says nothing."""
        return max(NOISE, self.floor)


def noise(cases: Iterable[CaseRecord]) -> Noise:
    """The A/A pairs of a run that were both timed in the same rounds."""
    known = {record.case: record for record in cases}
    controls = (record for record in known.values() if record.case.aa_repeat)
    twins = ((record, known.get(record.case.model_copy(update={"aa_repeat": False}))) for record in controls)
    ratios = ((record, speed(record, twin) if twin else None) for record, twin in twins)
    return Noise(tuple((record, ratio) for record, ratio in ratios if ratio))

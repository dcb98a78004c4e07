"""What records say: times and rates, speed against a peer, where the time of a run went, and how fast a gradient shrinks."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np

from bench.analysis.median_ci import Estimate, estimate
from bench.records import HEAD_START_CYCLES, Case, CaseRecord, Environment, GradientRecord, Records

FLOPS = {"inference": 1, "backward": 2, "training": 3}
"""Of a mode, over those of a forward pass: each of its products W·v has two more in the backward pass, for the gradients of W and of v."""


def timed(record: CaseRecord) -> bool:
    return record.status == "ok" and bool(record.samples) and min(record.samples) > 0


def seconds(record: CaseRecord) -> Estimate:
    """Seconds per call of a timed case."""
    return estimate(tuple(record.samples))


def host_bound(record: CaseRecord) -> bool:
    """Whether the host set the time of a case: a GPU waited for work most of the time. The host issues some of it in its head start, which
    isn't timed; what it took beyond that is most of the time. Without a known clock, 1 GHz: the longest head start that a GPU has."""
    clocks = [reading.clock for reading in record.readings if reading.clock]
    if not (record.host and timed(record)):
        return False
    beyond = median(record.host) - HEAD_START_CYCLES / (median(clocks) if clocks else 1e9)
    return beyond > HOST_SHARE * median(record.samples)


HOST_SHARE = 0.75


def sequences_per_second(record: CaseRecord) -> float:
    return record.case.B / seconds(record).value


def timesteps_per_second(record: CaseRecord) -> float:
    """Steps of single sequences: B·T in a call."""
    return record.case.T * sequences_per_second(record)


def updates_per_second(record: CaseRecord) -> float | None:
    """Units of all sequences, each in every step: T·B·H in a call. None of a case that isn't measured in them."""
    return record.case.H * timesteps_per_second(record) if record.unit else None


def sgemm_share(record: CaseRecord, environment: Environment) -> float | None:
    """A case's flop/s over those of the machine's own matrix product; None where either is unknown.

    Without the input product a case does fewer flops than its record counts, by as much as is hoisted: None there, too.
    """
    if not (timed(record) and record.flops and environment.sgemm and record.case.input_product):
        return None
    return FLOPS[record.case.mode] * record.flops * timesteps_per_second(record) / environment.sgemm


def alike(record: CaseRecord, peer: CaseRecord) -> bool:
    """Whether two cases do equal work with equal numerics, as far as their records say what they do. A control is like the case that it
    repeats, and no other."""
    if record.case.aa_repeat != peer.case.aa_repeat:
        return record.case.model_copy(update={"aa_repeat": peer.case.aa_repeat}) == peer.case
    return not (record.numerics and peer.numerics) or record.numerics.comparable == peer.numerics.comparable


def speed(record: CaseRecord, peer: CaseRecord) -> Estimate | None:
    """How many times as fast as its peer a case is: the median over the rounds both were timed in; None without any, or where their
    work is not alike."""
    theirs = dict(zip(peer.rounds, peer.samples, strict=False))
    pairs = zip(record.rounds, record.samples, strict=False)
    if not (timed(record) and timed(peer) and alike(record, peer)):
        return None
    ratios = tuple(theirs[number] / taken for number, taken in pairs if number in theirs)
    return estimate(ratios) if ratios else None


@dataclass(frozen=True)
class Peers:
    """What the vendor has to set against a case: its same cell or, where it has none, its GRU twice: at the same hidden width H,
    and at the H that gives it as many parameters. None is what was not timed."""

    same: CaseRecord | None = None
    width: CaseRecord | None = None
    parameters: CaseRecord | None = None

    @property
    def first(self) -> CaseRecord | None:
        return self.same or self.width


def peers(cases: Mapping[Case, CaseRecord], case: Case) -> Peers:
    """The vendor's cases of the same T, B, D, mode, input product, dtype and precision. What has a unit of its own has no peer there."""
    same = cases.get(case.model_copy(update={"backend": "vendor"}))
    if same is None or same.status != "unsupported":
        return Peers(same=same if same and timed(same) else None)
    if same.unit:
        return Peers()
    gru = {"backend": "vendor", "cell": "gru"}
    width = cases.get(case.model_copy(update=gru))
    sized = [
        record
        for other, record in cases.items()
        if (other.matched_params_of, other.T, other.B, other.D) == (case.cell, case.T, case.B, case.D)  # the quick part of what follows
        and other == case.model_copy(update={**gru, "H": other.H, "matched_params_of": case.cell})
    ]
    return Peers(
        width=width if width and timed(width) else None,
        parameters=next((record for record in sized if timed(record)), None),
    )


def rate(record: GradientRecord) -> float | None:
    """Growth of the gradient's norm with lag, in nats per step: the least-squares slope of its logarithm; negative where it vanishes.

    Norms below the smallest normal number of the dtype are left out, as zeros are and what is not finite: there a gradient is rounded to
    what its dtype can tell, and may stay what it is for thousands of steps. None where fewer than two are left.
    """
    known = [(k, norm) for k, norm in zip(record.steps, record.by_lag, strict=True) if told(record.dtype, norm)]
    if len(known) < 2:
        return None
    return float(np.polyfit([k for k, _ in known], np.log([norm for _, norm in known]), 1)[0])


SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}
"""The smallest normal numbers: below, digits are lost."""


def told(dtype: str, norm: float) -> bool:
    """Whether a dtype can tell such a norm."""
    return norm > 0 and SMALLEST.get(dtype, 0.0) <= norm < math.inf


def by_cell(gradients: Sequence[GradientRecord]) -> dict[str, dict[int, GradientRecord]]:
    """Gradient records by cell, and by T from the shortest."""
    found: dict[str, dict[int, GradientRecord]] = {}
    for record in sorted(gradients, key=lambda r: (r.cell, r.T)):
        found.setdefault(record.cell, {})[record.T] = record
    return found


def spent(records: Records) -> dict[str, float]:
    """Seconds of a run and of what resumed it, by activity: the longest first, and what is left last. {} where no record says so."""
    found: dict[str, float] = {}
    for end in records.ends:
        for activity, taken in end.spent.items():
            found[activity] = found.get(activity, 0.0) + taken
    return dict(sorted(found.items(), key=lambda item: (item[0] == "overhead", -item[1], item[0])))


def overhead(records: Records) -> float | None:
    """The share of planning, starting processes and rendering in the wall time of a run; None where no record says."""
    wall = sum(end.wall for end in records.ends)
    return spent(records)["overhead"] / wall if wall > 0 and "overhead" in spent(records) else None

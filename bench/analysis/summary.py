"""Summarises records: times and rates, speedups over a peer, wall time by activity, and the decay of gradients."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import median
from typing import Self

import numpy as np

from bench.analysis.median_ci import Estimate, median_ci
from bench.records import Case, CaseRecord, Environment, GradientRecord, Records
from bench.records.case_record import HEAD_START_CYCLES

FLOPS = {"inference": 1, "backward": 2, "training": 3}
"""Flops relative to a forward pass: each product W·v has two more in the backward pass, for the gradients of W and of v."""


def is_timed(record: CaseRecord) -> bool:
    """Returns whether a case has a time."""
    return record.status == "ok" and bool(record.samples) and min(record.samples) > 0


def times_by_build(record: CaseRecord) -> tuple[float, ...]:
    """Returns the median seconds per call of each build of a timed case."""
    return tuple(median(seconds.values()) for seconds in record.by_build.values())


def median_time(record: CaseRecord) -> Estimate:
    """Returns the seconds per call of a timed case: the median of its builds."""
    return median_ci(times_by_build(record))


def is_host_bound(record: CaseRecord) -> bool:
    """Returns whether the host determined the time of a case on a GPU: the time that the host needed beyond its head start is most of the
    time.

    If the clock is unknown, 1 GHz is assumed, which gives the longest head start.
    """
    clocks = [reading.clock for reading in record.readings if reading.clock]
    if not (record.host and is_timed(record)):
        return False
    beyond = median(record.host) - HEAD_START_CYCLES / (median(clocks) if clocks else 1e9)
    return beyond > HOST_SHARE * median(record.samples)


HOST_SHARE = 0.75


def sequences_per_second(record: CaseRecord) -> float:
    """Returns B divided by the time of a call."""
    return record.case.B / median_time(record).value


def timesteps_per_second(record: CaseRecord) -> float:
    """Returns B·T divided by the time of a call."""
    return record.case.T * sequences_per_second(record)


def updates_per_second(record: CaseRecord) -> float | None:
    """Returns T·B·H divided by the time of a call, for cells whose speed has that unit; else None."""
    return record.case.H * timesteps_per_second(record) if record.unit else None


def sgemm_share(record: CaseRecord, environment: Environment) -> float | None:
    """Returns the flop/s of a case divided by those of torch's own matrix product; None if either is unknown.

    A case excluding the input projection has fewer flops than its record counts, so it has no share.
    """
    if not (is_timed(record) and record.flops and environment.sgemm and record.case.input_product):
        return None
    return FLOPS[record.case.mode] * record.flops * timesteps_per_second(record) / environment.sgemm


def is_comparable(record: CaseRecord, peer: CaseRecord) -> bool:
    """Returns whether two cases do the same work with the same numerics, as far as their records declare them. An A/A repeat is comparable
    only with the case that it repeats."""
    if record.case.aa_repeat != peer.case.aa_repeat:
        return record.case.model_copy(update={"aa_repeat": peer.case.aa_repeat}) == peer.case
    return not (record.numerics and peer.numerics) or record.numerics.comparable == peer.numerics.comparable


def speedups_by_build(record: CaseRecord, peer: CaseRecord) -> tuple[float, ...]:
    """Returns the speedup of a case over its peer in each build: the ratio of their times in it (`times_by_build`), so that no ratio
    contradicts the times beside it. Returns () if no build has both, or if the two are not comparable."""
    if not (record.rounds and peer.rounds and is_timed(record) and is_timed(peer) and is_comparable(record, peer)):
        return ()
    mine, theirs = record.by_build, peer.by_build
    return tuple(median(theirs[build].values()) / median(mine[build].values()) for build in mine if build in theirs)


def speedup_ci(record: CaseRecord, peer: CaseRecord) -> Estimate | None:
    """Returns the speedup of a case over its peer, the median over the builds, or None if there is none (`speedups_by_build`)."""
    ratios = speedups_by_build(record, peer)
    return median_ci(ratios) if ratios else None


@dataclass(frozen=True)
class Peers:
    """The vendor's cases that a case is compared with. None means not timed.

    Attributes:
        same: The vendor's case of the same cell.
        width: Without such a cell, the vendor's GRU of the same H.
        parameters: Without such a cell, the vendor's GRU of as many parameters.
    """

    same: CaseRecord | None = None
    width: CaseRecord | None = None
    parameters: CaseRecord | None = None

    @property
    def first(self) -> CaseRecord | None:
        """Returns the same cell or, without it, the GRU of the same H."""
        return self.same or self.width


class CaseIndex(dict[Case, CaseRecord]):
    """Records by case, with a lookup of the GRUs of matched parameter count."""

    @classmethod
    def from_records(cls, records: Iterable[CaseRecord]) -> Self:
        """Returns the index of records."""
        return cls({record.case: record for record in records})

    @cached_property
    def stand_ins(self) -> dict[Case, CaseRecord]:
        """Returns the timed GRUs of matched parameter count, by their case with H = 0."""
        found = [record for record in self.values() if record.case.matched_params_of and is_timed(record)]
        return {record.case.model_copy(update={"H": 0}): record for record in reversed(found)}


def find_peers(cases: CaseIndex, case: Case) -> Peers:
    """Returns the vendor's cases of the same T, B, D, mode, input projection, dtype and precision. A cell with its own unit of speed has
    none."""
    same = cases.get(case.model_copy(update={"backend": "vendor"}))
    if same is None or same.status != "unsupported":
        return Peers(same=same if same and is_timed(same) else None)
    if same.unit:
        return Peers()
    gru = {"backend": "vendor", "cell": "gru"}
    width = cases.get(case.model_copy(update=gru))
    return Peers(
        width=width if width and is_timed(width) else None,
        parameters=cases.stand_ins.get(case.model_copy(update={**gru, "H": 0, "matched_params_of": case.cell})),
    )


def fit_growth(record: GradientRecord) -> float | None:
    """Returns the growth of the gradient norm over lag in nats per step: the least-squares slope of its logarithm, negative if it vanishes.

    Norms below the smallest normal number of the dtype, zeros and non-finite values are left out: there a gradient is dominated by rounding
    and may stay constant for thousands of steps. Returns None if fewer than two norms are left.
    """
    known = [(k, norm) for k, norm in zip(record.steps, record.by_lag, strict=True) if is_representable(record.dtype, norm)]
    if len(known) < 2:
        return None
    return float(np.polyfit([k for k, _ in known], np.log([norm for _, norm in known]), 1)[0])


SMALLEST = {"float64": 2.0**-1022, "float32": 2.0**-126, "bfloat16": 2.0**-126, "float16": 2.0**-14}
"""The smallest normal numbers. Below them digits are lost."""


def is_representable(dtype: str, norm: float) -> bool:
    """Returns whether a norm is finite and not below the smallest normal number of a dtype."""
    return norm > 0 and SMALLEST.get(dtype, 0.0) <= norm < math.inf


def group_by_cell(gradients: Sequence[GradientRecord]) -> dict[str, dict[int, GradientRecord]]:
    """Groups gradient records by cell, then by T from the shortest."""
    found: dict[str, dict[int, GradientRecord]] = {}
    for record in sorted(gradients, key=lambda r: (r.cell, r.T)):
        found.setdefault(record.cell, {})[record.T] = record
    return found


def sum_spent(records: Records) -> dict[str, float]:
    """Returns the seconds of a run and its resumptions by activity, the longest first and overhead last; {} if not recorded."""
    found: dict[str, float] = {}
    for end in records.ends:
        for activity, taken in end.spent.items():
            found[activity] = found.get(activity, 0.0) + taken
    return dict(sorted(found.items(), key=lambda item: (item[0] == "overhead", -item[1], item[0])))


def overhead_share(records: Records) -> float | None:
    """Returns the share of overhead (planning, starting processes, rendering) in the wall time, or None if not recorded."""
    wall = sum(end.wall for end in records.ends)
    return sum_spent(records)["overhead"] / wall if wall > 0 and "overhead" in sum_spent(records) else None

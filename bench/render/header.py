"""Writes the remarks about a whole run above its tables."""

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from bench.analysis.summary import overhead_share, sum_spent
from bench.analysis.verdict import NOISE, measure_noise
from bench.records import FAILURES, CaseRecord, Records, Status
from bench.render.formatting import count_noun
from bench.render.warnings import list_warnings


def list_remarks(records: Records) -> list[str]:
    """Returns a sentence each about a missing GPU, the noise and the wall time, and the warnings about the run."""
    found = (remark_on_gpu(records), remark_on_noise(records.cases), *list_warnings(records), remark_on_wall_time(records))
    return [remark for remark in found if remark]


def count_statuses(cases: Sequence[CaseRecord]) -> str:
    """Returns "72 cases: 60 ok, 8 verified, 4 unsupported, no failures"."""
    counts = Counter[str](record.status for record in cases)
    parts = [f"{counts[status]} {status}" for status in get_args(Status) if counts[status]]
    if not any(counts[status] for status in FAILURES):
        parts.append("no failures")
    return f"{count_noun(len(cases), 'case')}: {', '.join(parts)}"


ACTIVITIES = {"gates": "correctness checks"}
NOUNS = {
    "training": "training", "gradients": "gradient profile", "jacobians": "Jacobian", "theory": "growth rate", "maps": "chaotic map",
    "decays": "decay", "parallel": "iteration count",
}  # fmt: skip
"""The name of a record by its list in `Records`, for a run without cases."""


def list_contents(records: Records) -> str:
    """Returns the cases of a run by status, or without cases "6 trainings" or "2 chaotic maps, 16 decays"."""
    counts = [(len(getattr(records, kind)), noun) for kind, noun in NOUNS.items()]
    found = ", ".join(count_noun(count, noun) for count, noun in counts if count)
    return count_statuses(records.cases) if records.cases or not found else found


def remark_on_gpu(records: Records) -> str:
    if records.run.environment.device_kind != "cpu":
        return ""
    checked = any(record.status == "verified" for record in records.cases)
    return f"No GPU: the run has no GPU times.{' Triton kernels were checked in the interpreter, without a time.' * checked}"


def remark_on_noise(cases: Sequence[CaseRecord]) -> str:
    if not cases:
        return ""
    found = measure_noise(cases)
    if not found.pairs:
        return f"Noise floor: not measured, because the run has no A/A pairs. {describe_margin(NOISE)}"
    pairs = count_noun(len(found.pairs), "pair")
    floor = f"Noise floor: the speed of a case relative to its repetition is off 1 by at most {found.floor:.1%} ({pairs})"
    return f"{floor}. {describe_margin(found.margin)}"


def describe_margin(share: float) -> str:
    """Returns what the margin of a run means."""
    return f"Differences within {share:.1%} count as noise."


def remark_on_wall_time(records: Records) -> str:
    found, share = sum_spent(records), overhead_share(records)
    if not found:
        return ""
    parts = ", ".join(f"{ACTIVITIES.get(activity, activity)} {taken:,.1f} s" for activity, taken in found.items())
    rest = "" if share is None else f" Overhead is {share:.1%} of it."
    return f"Wall time: {sum(end.wall for end in records.ends):,.1f} s ({parts}).{rest}"

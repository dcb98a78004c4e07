"""What is said of a whole run before its tables."""

from collections import Counter
from collections.abc import Sequence
from typing import get_args

from bench.analysis.summary import overhead_share, sum_spent
from bench.analysis.verdict import NOISE, WIDEST, is_throttled, measure_noise
from bench.records import FAILURES, CaseRecord, Records, Status
from bench.render.formatting import count_noun


def list_remarks(records: Records) -> list[str]:
    """A sentence each: no GPU, the noise floor, clocks held back, where the time went; none that there is nothing to say of."""
    found = (without_gpu(records), noise_floor(records.cases), held_back(records.cases), where_time_went(records))
    return [remark for remark in found if remark]


def count_statuses(cases: Sequence[CaseRecord]) -> str:
    """ "72 cases: 60 ok, 8 verified, 4 unsupported, no failures"."""
    counts = Counter[str](record.status for record in cases)
    parts = [f"{counts[status]} {status}" for status in get_args(Status) if counts[status]]
    if not any(counts[status] for status in FAILURES):
        parts.append("no failures")
    return f"{count_noun(len(cases), 'case')}: {', '.join(parts)}"


ACTIVITIES = {"gates": "correctness checks"}
NOUNS = {
    "training": "training", "gradients": "gradient profile", "jacobians": "Jacobian", "theory": "growth rate", "maps": "chaotic map",
    "decays": "decay",
}  # fmt: skip
"""What a run without cases has, by its list in Records."""


def list_contents(records: Records) -> str:
    """What a run has: its cases by status or, where it has none, "6 trainings" or "2 chaotic maps, 16 decays"."""
    counts = [(len(getattr(records, kind)), noun) for kind, noun in NOUNS.items()]
    found = ", ".join(count_noun(count, noun) for count, noun in counts if count)
    return count_statuses(records.cases) if records.cases or not found else found


def without_gpu(records: Records) -> str:
    """Said of a run on a machine without a GPU; "" where there was one."""
    if records.run.environment.device_kind != "cpu":
        return ""
    checked = any(record.status == "verified" for record in records.cases)
    kernels = "; Triton kernels were verified in the interpreter and carry no time" if checked else ""
    return f"No GPU was present: there are no GPU rows{kernels}."


def noise_floor(cases: Sequence[CaseRecord]) -> str:
    """What the A/A pairs of a run say, and what follows from it; "" without cases."""
    if not cases:
        return ""
    found = measure_noise(cases)
    if not found.pairs:
        return f"Noise floor: not measured, there are no A/A pairs; {margin(NOISE)}"
    pairs = count_noun(len(found.pairs), "pair")
    return f"Noise floor: the same thing measured twice differs by {found.floor:.1%} at most, over {pairs}; {margin(found.margin)}"


def margin(share: float) -> str:
    """What a margin is for, and what one is too wide for."""
    noisy = " That is too noisy for differences of a tenth: quiet the machine and measure again." if share > WIDEST else ""
    return f"a difference inside {share:.1%} counts as noise.{noisy}"


def held_back(cases: Sequence[CaseRecord]) -> str:
    """Of a run in which clocks were; else ""."""
    found = [record for record in cases if is_throttled(record)]
    words = sorted({word for record in found for reading in record.readings for word in reading.throttled})
    return f"The clock was held back ({', '.join(words)}) in {count_noun(len(found), 'case')}: no verdict there." if found else ""


def where_time_went(records: Records) -> str:
    """Of a run whose records say so; else ""."""
    found, share = sum_spent(records), overhead_share(records)
    if not found:
        return ""
    parts = ", ".join(f"{ACTIVITIES.get(activity, activity)} {taken:,.1f} s" for activity, taken in found.items())
    rest = "" if share is None else f"; overhead is {share:.1%} of it"
    return f"Where the time went: {sum(end.wall for end in records.ends):,.1f} s of wall time, {parts}{rest}."

"""Formats numbers, sizes and statuses, the same in a terminal, a report and a plot."""

import math
from collections.abc import Iterable

from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_comparable, is_timed
from bench.analysis.verdict import Speed, Verdict
from bench.records import Case, CaseRecord

MIB = 2**20
NONE = "–"
OTHER = "no ratio"
BELOW = "!"
SIGNS: dict[Verdict, str] = {"faster": "", "slower": "", "tie": "≈", "ambiguous": "?", "unstable": ""}
UNSTABLE = "unstable"
MODES = {"training": "Training", "inference": "Inference", "backward": "Backward pass"}
VERBS = {"training": "trains", "inference": "runs", "backward": "differentiates"}


def format_number(value: float, digits: int = 3) -> str:
    """Returns a number with `digits` significant digits and all digits before the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if decimals > digits + 3 else f"{value:,.{max(0, decimals)}f}"


def format_power(value: float) -> str:
    """Returns a number that spans decades, as 3.2e-05."""
    return "0" if value == 0 else f"{value:.1e}" if math.isfinite(value) else "not finite"


def format_count(value: int) -> str:
    return f"{value:,}"


def format_share(value: float) -> str:
    return f"{value:.0%}"


def format_ms(seconds: float | Estimate) -> str:
    """Returns seconds, or the median of an estimate of seconds, in milliseconds."""
    return format_number(1e3 * (seconds.value if isinstance(seconds, Estimate) else seconds))


def format_mib(count: float) -> str:
    """Returns bytes in MiB."""
    return format_number(count / MIB, 3 if count >= MIB else 2)


def format_speed(speed: Speed) -> str:
    """Returns a ratio of speeds, with ≈ for a tie and ? for an inconclusive result; UNSTABLE if the times of the two contradict it."""
    return UNSTABLE if speed.verdict == "unstable" else f"{SIGNS[speed.verdict]}{format_factor(speed.ratio.value)}"


def format_factor(value: float) -> str:
    return f"{format_ratio(value)}×"


def format_lower_bound(ratio: float) -> str:
    """Returns a time divided by its lower bound, with BELOW if it is below 1."""
    return f"{BELOW if ratio < 1 else ''}{format_factor(ratio)}"


def format_ratio(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 else format_number(value, 2 if value < 0.1 else 3)


def format_speed_interval(speed: Speed) -> str:
    """Returns a ratio of speeds with its 95% interval."""
    if speed.verdict == "unstable":
        return UNSTABLE
    return format_speed(speed) + (format_interval(speed.ratio) or f" ({count_noun(speed.ratio.n, 'build')})")


def format_interval(ratio: Estimate) -> str:
    """Returns the interval of a ratio of speeds as " [1.20, 1.40]"; "" if it has none."""
    return f" [{format_ratio(ratio.low)}, {format_ratio(ratio.high)}]" if ratio.bounded else ""


def explain_no_ratio(record: CaseRecord, peer: CaseRecord | None) -> str:
    """Returns why two cases have no ratio."""
    return OTHER if peer and is_timed(record) and is_timed(peer) and not is_comparable(record, peer) else "not timed"


def count_noun(count: int, noun: str) -> str:
    """Returns "1 case" or "2 cases"."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def list_seeds(seeds: Iterable[int]) -> str:
    """Returns "seed 0" or "seeds 0, 1"."""
    found = sorted(set(seeds))
    return f"seed{'' if len(found) == 1 else 's'} {', '.join(map(str, found))}"


def shorten_status(record: CaseRecord) -> str:
    """Returns the status of a case without a time in at most three words."""
    if record.status == "unsupported":
        known = (short for short in ("no such cell", "not compared", "not installed") if short in record.reason)
        return next(known, "unsupported")
    return "not timed" if record.status == "ok" and not is_timed(record) else record.status


def describe_size(case: Case) -> str:
    """Returns "B=32 D=H=256, float32" and the precision if it differs from the dtype; only these types if the sizes of a table differ."""
    types = f"{case.dtype}{', tf32 products' if case.precision == 'tf32' else ''}"
    if not case.H:
        return types
    widths = f"D=H={case.H}" if case.D == case.H else f"D={case.D} H={case.H}"
    return f"B={case.B} {widths}, {types}"


def describe_task(case: Case) -> str:
    """Returns the mode of a case, and whether it includes the input projection."""
    return f"{MODES[case.mode]} {'including' if case.input_product else 'excluding'} the input projection"


def label_cell(case: Case) -> str:
    """Returns the name of a cell, with the cell whose parameter count it matches, and a mark for an A/A repeat."""
    name = f"{case.cell} (parameter-matched to {case.matched_params_of})" if case.matched_params_of else case.cell
    return f"{name} (A/A repeat)" if case.aa_repeat else name

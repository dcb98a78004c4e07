"""How numbers, sizes and statuses are written, the same in a terminal, a report and a plot."""

import math

from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_comparable, is_timed
from bench.analysis.verdict import Speed, Verdict
from bench.records import Case, CaseRecord

MIB = 2**20
NONE = "–"
OTHER = "other work"
BELOW = "!"
SIGNS: dict[Verdict, str] = {"faster": "", "slower": "", "tie": "≈", "ambiguous": "?"}
MODES = {"training": "Training", "inference": "Inference", "backward": "Backward pass"}


def format_number(value: float, digits: int = 3) -> str:
    """To `digits` significant digits, and every digit in front of the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if decimals > digits + 3 else f"{value:,.{max(0, decimals)}f}"


def format_power(value: float) -> str:
    """A quantity that spans decades: 3.2e-05."""
    return "0" if value == 0 else f"{value:.1e}" if math.isfinite(value) else "not finite"


def format_count(value: int) -> str:
    return f"{value:,}"


def format_share(value: float) -> str:
    return f"{value:.0%}"


def format_ms(seconds: float | Estimate) -> str:
    """Seconds, or the middle of an estimate of them, in milliseconds."""
    return format_number(1e3 * (seconds.value if isinstance(seconds, Estimate) else seconds))


def format_mib(count: float) -> str:
    """Bytes, in MiB."""
    return format_number(count / MIB, 3 if count >= MIB else 2)


def format_speed(speed: Speed) -> str:
    """A ratio of speeds; ≈ where it is a tie with 1, ? where it is inconclusive."""
    return f"{SIGNS[speed.verdict]}{format_factor(speed.ratio.value)}"


def format_factor(value: float) -> str:
    return f"{format_ratio(value)}×"


def format_lower_bound(ratio: float) -> str:
    """A time over the hardware lower bound; BELOW marks one that can't be."""
    return f"{BELOW if ratio < 1 else ''}{format_factor(ratio)}"


def format_ratio(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 else format_number(value, 2 if value < 0.1 else 3)


def format_speed_interval(speed: Speed) -> str:
    """A ratio of speeds with its 95% interval."""
    ratio = speed.ratio
    interval = f" [{format_ratio(ratio.low)}, {format_ratio(ratio.high)}]" if ratio.bounded else f" ({count_noun(ratio.n, 'sample')})"
    return format_speed(speed) + interval


def explain_no_ratio(record: CaseRecord, peer: CaseRecord | None) -> str:
    """Why there is no ratio of two cases."""
    return OTHER if peer and is_timed(record) and is_timed(peer) and not is_comparable(record, peer) else "not timed"


def count_noun(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def shorten_status(record: CaseRecord) -> str:
    """The status of a case without a time, in at most two or three words."""
    if record.status == "unsupported":
        known = (short for short in ("no such cell", "not compared", "not installed") if short in record.reason)
        return next(known, "unsupported")
    return "not timed" if record.status == "ok" and not is_timed(record) else record.status


def describe_size(case: Case) -> str:
    """ "B=32 D=H=256, float32", the precision of its products where it is not that of the dtype; without sizes, the latter alone."""
    types = f"{case.dtype}{', tf32 products' if case.precision == 'tf32' else ''}"
    if not case.H:
        return types
    widths = f"D=H={case.H}" if case.D == case.H else f"D={case.D} H={case.H}"
    return f"B={case.B} {widths}, {types}"


def describe_task(case: Case) -> str:
    return f"{MODES[case.mode]} {'including' if case.input_product else 'excluding'} the input projection"


def label_cell(case: Case) -> str:
    """A cell's name; a stand-in says whose parameters it matches, a control that it is one."""
    name = f"{case.cell} (parameter-matched to {case.matched_params_of})" if case.matched_params_of else case.cell
    return f"{name} (control)" if case.aa_repeat else name

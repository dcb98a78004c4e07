"""How numbers, sizes and statuses are written, the same in a terminal, a report and a plot."""

import math
from collections.abc import Iterable

from bench.analysis.summary import is_comparable, is_timed
from bench.analysis.verdict import Speed, Verdict
from bench.records import Case, CaseRecord

MIB = 2**20
NONE = "–"
OTHER = "other work"
BELOW = "!"
SIGNS: dict[Verdict, str] = {"faster": "", "slower": "", "tie": "≈", "ambiguous": "?"}
VERDICTS = "≈ marks a tie with 1×, ? what can't be told"
MODES = {"training": "Training", "inference": "Inference", "backward": "Backward pass"}


def two_grus(cells: Iterable[str]) -> str:
    """Which GRU is which, where a table shows one of them."""
    if not {"gru", "gru_reset_before"} & set(cells):
        return ""
    return "gru resets after the product (as torch.nn and cuDNN), gru_reset_before before it (as the papers of MinimalRNN and CFN)."


def format_number(value: float, digits: int = 3) -> str:
    """To `digits` significant digits, and every digit in front of the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if decimals > digits + 3 else f"{value:,.{max(0, decimals)}f}"


def format_power(value: float) -> str:
    """A quantity that spans decades: 3.2e-05."""
    return "0" if value == 0 else f"{value:.1e}" if math.isfinite(value) else "not finite"


def format_ms(seconds: float) -> str:
    return format_number(1e3 * seconds)


def format_mib(count: int) -> str:
    """Bytes, in MiB."""
    return format_number(count / MIB, 3 if count >= MIB else 2)


def format_speed(speed: Speed) -> str:
    """A ratio of speeds; ≈ where it is a tie with 1, ? where it can't be told."""
    return f"{SIGNS[speed.verdict]}{format_factor(speed.ratio.value)}"


def format_factor(value: float) -> str:
    return f"{format_ratio(value)}×"


def format_lower_bound(ratio: float | None) -> str:
    """A time over its floor; BELOW marks one that can't be."""
    return NONE if ratio is None else f"{BELOW if ratio < 1 else ''}{format_factor(ratio)}"


def format_ratio(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 else format_number(value, 2 if value < 0.1 else 3)


def format_speed_interval(speed: Speed) -> str:
    """A ratio of speeds with its 95% interval."""
    ratio = speed.ratio
    spread = f" [{format_ratio(ratio.low)}, {format_ratio(ratio.high)}]" if ratio.bounded else f" ({count_noun(ratio.n, 'sample')})"
    return format_speed(speed) + spread


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
    return f"{MODES[case.mode]} {'with' if case.input_product else 'without'} the input product"


def label_cell(case: Case) -> str:
    """A cell's name; of a stand-in, whose parameters it has as many as; of a control, that it is one."""
    name = f"{case.cell} (as many as {case.stands_for})" if case.stands_for else case.cell
    return f"{name} (control)" if case.control else name


def saved_and_peak(found: CaseRecord | str) -> str:
    """MiB kept between forward and backward / at the peak; a word stays a word."""
    if isinstance(found, str):
        return found
    return f"{format_mib(found.memory.saved)} / {format_mib(found.memory.peak)}" if found.memory else "not measured"


def show_errors(record: CaseRecord) -> tuple[str, str, str]:
    """The errors against float64: of the outputs, of the worst gradient, and which that is."""
    if record.errors is None:
        return "not checked", "not checked", NONE
    gradient = record.errors.gradient
    return format_power(record.errors.output), "not checked" if gradient is None else format_power(gradient), record.errors.worst or NONE

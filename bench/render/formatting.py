"""How numbers, sizes and statuses are written, the same in a terminal, a report and a plot."""

import math
from collections.abc import Iterable

from bench.analysis.summary import alike, timed
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


def number(value: float, digits: int = 3) -> str:
    """To `digits` significant digits, and every digit in front of the point."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else "not finite"
    decimals = digits - 1 - math.floor(math.log10(abs(value)))
    return f"{value:.1e}" if decimals > digits + 3 else f"{value:,.{max(0, decimals)}f}"


def power(value: float) -> str:
    """A quantity that spans decades: 3.2e-05."""
    return "0" if value == 0 else f"{value:.1e}" if math.isfinite(value) else "not finite"


def milliseconds(seconds: float) -> str:
    return number(1e3 * seconds)


def mebibytes(count: int) -> str:
    """Bytes, in MiB."""
    return number(count / MIB, 3 if count >= MIB else 2)


def times(speed: Speed) -> str:
    """A ratio of speeds; ≈ where it is a tie with 1, ? where it can't be told."""
    return f"{SIGNS[speed.verdict]}{factor(speed.ratio.value)}"


def factor(value: float) -> str:
    return f"{bare(value)}×"


def of_light(ratio: float | None) -> str:
    """A time over its floor; BELOW marks one that can't be."""
    return NONE if ratio is None else f"{BELOW if ratio < 1 else ''}{factor(ratio)}"


def bare(value: float) -> str:
    return f"{value:.2f}" if 0.1 <= value < 10 else number(value, 2 if value < 0.1 else 3)


def interval(speed: Speed) -> str:
    """A ratio of speeds with its 95% interval."""
    ratio = speed.ratio
    spread = f" [{bare(ratio.low)}, {bare(ratio.high)}]" if ratio.bounded else f" ({plural(ratio.n, 'sample')})"
    return times(speed) + spread


def unknown(record: CaseRecord, peer: CaseRecord | None) -> str:
    """Why there is no ratio of two cases."""
    return OTHER if peer and timed(record) and timed(peer) and not alike(record, peer) else "not timed"


def plural(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def word(record: CaseRecord) -> str:
    """The status of a case without a time, in at most two or three words."""
    if record.status == "unsupported":
        known = (short for short in ("no such cell", "not compared", "not installed") if short in record.reason)
        return next(known, "unsupported")
    return "not timed" if record.status == "ok" and not timed(record) else record.status


def size(case: Case) -> str:
    """ "B=32 D=H=256, float32", the precision of its products where it is not that of the dtype; without sizes, the latter alone."""
    types = f"{case.dtype}{', tf32 products' if case.precision == 'tf32' else ''}"
    if not case.H:
        return types
    widths = f"D=H={case.H}" if case.D == case.H else f"D={case.D} H={case.H}"
    return f"B={case.B} {widths}, {types}"


def task(case: Case) -> str:
    return f"{MODES[case.mode]} {'with' if case.input_product else 'without'} the input product"


def label(case: Case) -> str:
    """A cell's name; of a stand-in, whose parameters it has as many as; of a control, that it is one."""
    name = f"{case.cell} (as many as {case.matched_params_of})" if case.matched_params_of else case.cell
    return f"{name} (control)" if case.aa_repeat else name


def saved_and_peak(found: CaseRecord | str) -> str:
    """MiB kept between forward and backward / at the peak; a word stays a word."""
    if isinstance(found, str):
        return found
    return f"{mebibytes(found.memory.saved)} / {mebibytes(found.memory.peak)}" if found.memory else "not measured"


def faults(record: CaseRecord) -> tuple[str, str, str]:
    """The errors against float64: of the outputs, of the worst gradient, and which that is."""
    if record.errors is None:
        return "not checked", "not checked", NONE
    gradient = record.errors.gradient
    return power(record.errors.output), "not checked" if gradient is None else power(gradient), record.errors.worst or NONE

"""Judges statements of the study note about cells and signals by published records: numbers in words, and a verdict.

A judge gets all published runs and returns the words and the verdict, or None where no run has what it needs. Verdicts use 95% intervals
over seeds, corrected for the number of cells; one seed shows nothing.
"""

import math
from collections.abc import Callable, Sequence
from statistics import median
from typing import Literal

from bench.analysis.mean_ci import mean_ci
from bench.analysis.ranking import absolute, rank
from bench.analysis.summary import is_timed, median_time
from bench.records import CaseRecord, Records
from bench.render import chaos_report, gradient_report
from bench.render.formatting import format_count, format_number
from bench.render.published import Published
from bench.render.theory_report import find_growth

Verdict = Literal["yes", "no", "not shown"]
Evidence = tuple[str, Verdict, Published]
"""The numbers in words, the verdict, and the run that they are read from."""
Judge = Callable[[Sequence[Published]], Evidence | None]
PAPER_HOURS = {"gru": 46, "cfn": 36, "minimal": 30}


def find_run(runs: Sequence[Published], has: Callable[[Records], bool]) -> Published | None:
    """Returns the newest run whose records have what a statement needs."""
    return next((run for run in sorted(runs, key=lambda run: run.records.run.started, reverse=True) if has(run.records)), None)


def on_cpu(records: Records) -> bool:
    """Returns whether a run was measured on a CPU, as the note's times are."""
    return records.run.environment.device_kind == "cpu"


def is_wide(records: Records) -> bool:
    """Returns whether a run has the note's cells at D = H = 256 on a CPU."""
    wide = {r.case.cell for r in records.cases if (r.case.D, r.case.H) == (256, 256)}
    return on_cpu(records) and {"gru", "lstm", "cfn", "minimal"} <= wide


def compare_sizes(runs: Sequence[Published], field: Callable[[CaseRecord], int]) -> Evidence | None:
    """Compares a count of MinimalRNN with those of GRU and LSTM at D = H = 256."""
    run = find_run(runs, is_wide)
    if not run:
        return None
    found = {r.case.cell: field(r) for r in run.records.cases if (r.case.D, r.case.H) == (256, 256) and field(r)}
    words = ", ".join(f"{cell} {format_count(found[cell])}" for cell in ("minimal", "cfn", "gru", "lstm"))
    return f"{words}, D = H = 256", "yes" if found["minimal"] < min(found[cell] for cell in ("cfn", "gru", "lstm")) else "no", run


def judge_parameters(runs: Sequence[Published]) -> Evidence | None:
    """Judges that MinimalRNN has the fewest parameters of the gated cells."""
    return compare_sizes(runs, lambda record: record.parameters)


def judge_operations(runs: Sequence[Published]) -> Evidence | None:
    """Judges that MinimalRNN needs the fewest operations of the gated cells in a step."""
    return compare_sizes(runs, lambda record: record.flops)


def find_times(records: Records, backend: str, cells: Sequence[str]) -> dict[str, float]:
    """Returns the seconds of a training step of some cells on a backend, at the longest T at which all of them are timed; {} without."""
    known = [r for r in records.cases if r.case.backend == backend and r.case.mode == "training" and r.case.input_product and is_timed(r)]
    plain = [r for r in known if not r.case.aa_repeat and not r.case.matched_params_of and r.case.cell in cells]
    sizes = {(r.case.T, r.case.B, r.case.D, r.case.H) for r in plain}
    for T, *size in sorted(sizes, reverse=True):
        at = {r.case.cell: median_time(r).value for r in plain if [T, *size] == [r.case.T, r.case.B, r.case.D, r.case.H]}
        if {*cells} <= at.keys():
            return {cell: at[cell] for cell in cells}
    return {}


def judge_step_times(runs: Sequence[Published]) -> Evidence | None:
    """Judges the paper's order of training times: GRU, CFN, MinimalRNN."""
    cells = tuple(PAPER_HOURS)
    run = find_run(runs, lambda records: on_cpu(records) and all(find_times(records, backend, cells) for backend in ("eager", "compiled")))
    if not run:
        return None
    said, order = [], True
    for backend in ("eager", "compiled"):
        times = find_times(run.records, backend, cells)
        scaled = [46 * times[cell] / times["gru"] for cell in cells]
        order &= scaled[0] > scaled[1] > scaled[2]
        said.append(f"{backend} {' : '.join(f'{value:.0f}' for value in scaled)}")
    return f"a step, scaled to 46 for the GRU: {', '.join(said)}; the paper's hours 46 : 36 : 30", "yes" if order else "no", run


def judge_gru_and_lstm(backend: str) -> Judge:
    """Returns the judge of "the GRU trains faster than the LSTM" on a backend."""

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: on_cpu(records) and bool(find_times(records, backend, ("gru", "lstm"))))
        if not run:
            return None
        times = find_times(run.records, backend, ("gru", "lstm"))
        words = ", ".join(f"{cell} {format_number(1e3 * seconds)} ms" for cell, seconds in times.items())
        return f"a training step: {words}", "yes" if times["gru"] < times["lstm"] else "no", run

    return judge


def judge_start(init: str) -> Judge:
    """Returns the judge of "gradients change least in MinimalRNN", among gated cells of the same start."""

    def judge(runs: Sequence[Published]) -> Evidence | None:
        cells = ("minimal", "gru", "lstm")

        def has(records: Records) -> bool:
            slopes = gradient_report.list_slopes(records.gradients)
            return all(len(slopes.get((cell, init), ())) > 1 for cell in cells)

        run = find_run(runs, has)
        if not run:
            return None
        slopes = gradient_report.list_slopes(run.records.gradients)
        means = {cell: mean_ci([v for v in slopes[cell, init] if v is not None], len(cells)) for cell in cells}
        sizes = {cell: absolute(mean) for cell, mean in means.items()}
        more = any(sizes["minimal"].low > sizes[cell].high for cell in cells[1:])
        words = f"{init} start: " + ", ".join(f"{cell} {mean.value:+.4f}" for cell, mean in means.items()) + " nats a step"
        return words, "yes" if rank(sizes, higher=False).best == "minimal" else "no" if more else "not shown", run

    return judge


def judge_theory(runs: Sequence[Published]) -> Evidence | None:
    """Judges that mean-field theory predicts growth in wide cells, within 5% at every point."""
    run = find_run(runs, lambda records: len(records.theory) > 10)
    if not run:
        return None
    off = [abs(find_growth(record.untied).value / record.chi - 1) for record in run.records.theory]
    words = f"off by {median(off):.2%} in the median, {max(off):.2%} at most, {len(off)} points"
    return words, "yes" if max(off) < 0.05 else "no", run


def judge_maps(runs: Sequence[Published]) -> Evidence | None:
    """Judges that LSTM and GRU can be chaotic: exponents of the paper's maps above 0."""
    run = find_run(runs, lambda records: len(records.maps) > 1 and len(records.maps[0].exponents) > 2)
    if not run:
        return None
    found = {record.name: mean_ci(record.exponents, len(run.records.maps)) for record in run.records.maps}
    words = ", ".join(f"{name} {gradient_report.format_growth(mean)}" for name, mean in found.items())
    return f"largest Lyapunov exponents: {words}", "yes" if all(mean.sign > 0 for mean in found.values()) else "no", run


def judge_rest(cell: str) -> Judge:
    """Returns the judge of "a cell has no chaos without input": every start's exponent is below 0."""

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: any(record.cell == cell for record in records.decays))
        if not run:
            return None
        found = [record for record in run.records.decays if record.cell == cell]
        grows = [record.init for record in found if chaos_report.is_growing(record, len(found))]
        rests = all(max(record.exponent, default=math.inf) < 0 for record in found)
        largest = ", ".join(f"{record.init} {max(record.exponent):+.3f}" for record in found if record.exponent)
        return f"largest exponent of any trajectory: {largest}", "yes" if rests else "no" if grows else "not shown", run

    return judge

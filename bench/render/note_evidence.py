"""Judges statements of the study note about cells and signals by published records: numbers in words, and a verdict.

A judge gets all published runs and returns the words and the verdict, or None where no run has what it needs. Verdicts use 95% intervals,
over seeds corrected for the number of cells; one seed shows nothing.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Literal

from bench.analysis.mean_ci import mean_ci
from bench.analysis.ranking import absolute, rank
from bench.analysis.summary import is_timed, median_time
from bench.analysis.verdict import Noise, compare_cases, measure_noise
from bench.records import Case, CaseRecord, Records
from bench.render import chaos_report, gradient_report
from bench.render.formatting import format_count, format_factor, format_interval, format_number
from bench.render.published import Published
from bench.render.theory_report import find_growth

Verdict = Literal["yes", "no", "not shown"]
Evidence = tuple[str, Verdict, *tuple[Published, ...]]
"""The numbers in words, the verdict, and the runs that they are read from."""
CLOSE = 0.05
"""The largest relative error of a prediction that holds."""
Judge = Callable[[Sequence[Published]], Evidence | None]


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
    """Compares a count of MinimalRNN with those of CFN, GRU and LSTM at D = H = 256."""
    run = find_run(runs, is_wide)
    if not run:
        return None
    found = {r.case.cell: field(r) for r in run.records.cases if (r.case.D, r.case.H) == (256, 256) and field(r)}
    words = ", ".join(f"{cell} {format_count(found[cell])}" for cell in ("minimal", "cfn", "gru", "lstm"))
    return f"{words}, D = H = 256", "yes" if found["minimal"] < min(found[cell] for cell in ("cfn", "gru", "lstm")) else "no", run


def judge_parameters(runs: Sequence[Published]) -> Evidence | None:
    """Judges that MinimalRNN has the fewest parameters of LSTM, GRU, CFN and MinimalRNN."""
    return compare_sizes(runs, lambda record: record.parameters)


def judge_operations(runs: Sequence[Published]) -> Evidence | None:
    """Judges that MinimalRNN needs the fewest operations of LSTM, GRU, CFN and MinimalRNN in a step."""
    return compare_sizes(runs, lambda record: record.flops)


def find_steps(records: Records, backend: str, cells: Sequence[str]) -> dict[str, CaseRecord]:
    """Returns the training steps of some cells on a backend, at the longest T at which all of them are timed; {} without."""
    known = [r for r in records.cases if r.case.backend == backend and r.case.mode == "training" and r.case.input_product and is_timed(r)]
    groups: dict[Case, dict[str, CaseRecord]] = {}
    for record in known:
        if not record.case.aa_repeat and not record.case.matched_params_of and record.case.cell in cells:
            groups.setdefault(record.case.model_copy(update={"cell": ""}), {})[record.case.cell] = record
    whole = [found for found in groups.values() if {*cells} <= found.keys()]
    return max(whole, key=lambda found: found[cells[0]].case.T, default={})


def compare_steps(steps: Mapping[str, CaseRecord], order: Sequence[str], noise: Noise) -> tuple[str, set[str]]:
    """Returns the times of cells in words, each with its speed over the next slower one, and the verdicts about these speeds.

    Args:
        steps: The training step of each cell.
        order: The cells, the one that is said to be the fastest first.
        noise: The noise of their run.
    """
    words, verdicts = [], set[str]()
    for cell, slower in zip(order, [*order[1:], None], strict=True):
        ratio = ""
        if slower:
            found = compare_cases(steps[cell], steps[slower], noise)
            verdicts.add(found.verdict if found else "ambiguous")
            ratio = f" ({format_factor(found.ratio.value)}{format_interval(found.ratio)} as fast as {slower})" if found else ""
        words.append(f"{cell} {format_number(1e3 * median_time(steps[cell]).value)} ms{ratio}")
    return ", ".join(words), verdicts


def judge_order(backends: Sequence[str], order: Sequence[str]) -> Judge:
    """Returns the judge of "a training step of one cell takes less time than one of the next", on every one of some backends.

    Args:
        backends: The backends.
        order: The cells, the one that is said to be the fastest first.
    """

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: on_cpu(records) and all(find_steps(records, backend, order) for backend in backends))
        if not run:
            return None
        noise, said, verdicts, sizes = measure_noise(run.records.cases), list[str](), set[str](), list[str]()
        for backend in backends:
            steps = find_steps(run.records, backend, order)
            words, found = compare_steps(steps, order, noise)
            case = steps[order[0]].case
            said.append(f"{backend} {words}")
            sizes.append(f"T={case.T} B={case.B} D={case.D} H={case.H} {case.dtype}")
            verdicts |= found
        words = f"a training step on {run.records.run.environment.device}, {' and '.join(dict.fromkeys(sizes))}: {'; '.join(said)}"
        return words, "yes" if verdicts == {"faster"} else "no" if "slower" in verdicts else "not shown", run

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
        words = (
            f"{init} start: " + ", ".join(f"{cell} {gradient_report.format_growth(mean)}" for cell, mean in means.items()) + " nats a step"
        )
        return words, "yes" if rank(sizes, higher=False).best == "minimal" else "no" if more else "not shown", run

    return judge


def judge_theory(runs: Sequence[Published]) -> Evidence | None:
    """Judges that mean-field theory predicts growth in wide cells, within CLOSE at every point, with weights drawn anew at each step. How
    far it is off with tied weights is beside it."""
    run = find_run(runs, lambda records: len(records.theory) > 10)
    if not run:
        return None
    off = [abs(find_growth(record.untied).value / record.chi - 1) for record in run.records.theory]
    tied = [abs(find_growth(record.tied).value / record.chi - 1) for record in run.records.theory if record.tied]
    words = f"off by {median(off):.2%} in the median, {max(off):.2%} at most, {len(off)} points"
    far = sum(value > CLOSE for value in tied)
    words += f"; with tied weights, by more than {CLOSE:.0%} at {far} of {len(tied)}, {max(tied):.0%} at most" if tied else ""
    return words, "yes" if max(off) < CLOSE else "no", run


def judge_maps(runs: Sequence[Published]) -> Evidence | None:
    """Judges that LSTM and GRU can be chaotic: exponents of the paper's maps above 0."""
    run = find_run(runs, lambda records: len(records.maps) > 1 and len(records.maps[0].exponents) > 2)
    if not run:
        return None
    found = {record.name: mean_ci(record.exponents, len(run.records.maps)) for record in run.records.maps}
    words = ", ".join(f"{name} {gradient_report.format_growth(mean)}" for name, mean in found.items())
    return f"largest Lyapunov exponents: {words}", "yes" if all(mean.sign > 0 for mean in found.values()) else "no", run


def judge_rest(cell: str) -> Judge:
    """Returns the judge of "without input, a cell comes to rest": every exponent of every start is below 0."""

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: any(record.cell == cell for record in records.decays))
        if not run:
            return None
        found = [record for record in run.records.decays if record.cell == cell]
        grows = [record.init for record in found if chaos_report.is_growing(record, len(found))]
        rests = all(max(record.exponent, default=math.inf) < 0 for record in found)
        largest = ", ".join(f"{record.init} {max(record.exponent):+.3f}" for record in found if record.exponent)
        seeds = len({record.seed for record in found})
        draws = "one draw of weights" if seeds == 1 else f"{seeds} draws of weights"
        return f"{draws}, largest exponent of any trajectory: {largest}", "yes" if rests else "no" if grows else "not shown", run

    return judge

"""Renders trainings as tables."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import mean, median
from typing import Any

from bench.analysis.mean_ci import geometric_mean_ci, mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.training_metrics import (
    beats_baselines,
    common_quality,
    compare_times,
    extra_ci,
    first_reaching,
    group_by_cell,
    metric_ci,
    quality_ci,
    sort_by_seed,
)
from bench.records import Records
from bench.records.training_record import LearnedRecord, Point, TrainingRecord
from bench.render.formatting import count_noun, format_count, format_number, list_seeds
from bench.render.gradient_report import format_growth
from bench.render.jacobian_report import fit_jacobian_growth
from bench.render.table import Column, Table, make_word_column

PAPER = {"gru": 46, "cfn": 36, "minimal": 30}
"""The training hours of the three cells of Chen (2017), on the task THEIRS."""
THEIRS = "recommend"
HEADINGS = {"hidden": "at equal hidden width", "parameters": "at equal parameters of the recurrent layer"}
EQUAL = 0.1
"""The largest relative difference of parameter counts that are called equal: a width is a whole number."""
ENDS = {
    "target": "target reached", "stopped": "no improvement", "steps": "all steps done", "time": "out of time", "diverged": "diverged",
    "incorrect": "the error of the layer exceeds its tolerance",
}  # fmt: skip
STAGES = ("start", "middle", "end")
CELL = (
    Column("cell", "cell", words=True), Column("H", "H"), Column("recurrent parameters", "recurrent_parameters", "", format_count),
    Column("learning rate", "rate", "", "{:g}".format),
)  # fmt: skip
STEPS_OR_SECONDS: tuple[tuple[str, Callable[[Point], float]], ...] = (("steps", lambda p: p.step), ("seconds", lambda p: p.seconds))

ANALYSIS = """\
- A mean over seeds has a 95% interval by Student's t, on a logarithmic scale where values are positive, on a logistic one where they are
  shares. A ratio of times is the geometric mean over pairs with the same seed. The common quality is the target of the task or, without a
  target, what every seed of every cell that beats the baselines reaches."""


def group_trainings(records: Sequence[TrainingRecord]) -> list[list[TrainingRecord]]:
    """Groups records that are compared: same task and size, and the same quantity held equal."""
    found: dict[tuple[str, str, int], list[TrainingRecord]] = {}
    for record in sorted(records, key=lambda r: (r.trial.examples, r.trial.equal)):
        found.setdefault((record.trial.task, record.trial.equal, record.trial.examples), []).append(record)
    return list(found.values())


def title_group(records: Sequence[TrainingRecord]) -> str:
    """Returns the task of a group, and what its cells have in common; what they don't, if the records differ by more than EQUAL."""
    first = records[0].trial
    values = [record.recurrent if first.equal == "parameters" else record.trial.H for record in records]
    shared = HEADINGS[first.equal]
    if max(values) > (1 + EQUAL) * min(values):
        shared = f"{shared.replace(' equal', ' unequal')} ({min(values):,} to {max(values):,})"
    return f"{first.task}{f' with {first.examples:,} examples' if first.examples else ''}, {shared}"


def format_mean(value: Estimate) -> str:
    """Returns a mean with its interval, if it has one. Values that are all the same have none."""
    known = format_number(value.value)
    return (
        known if math.isinf(value.high) or value.low == value.high else f"{known} [{format_number(value.low)}, {format_number(value.high)}]"
    )


def list_key(records: Sequence[TrainingRecord]) -> list[Any]:
    """Returns cell, H, recurrent parameters and learning rate."""
    first = records[0]
    rates = list(dict.fromkeys(record.trial.rate for record in records))
    rate: float | str = rates[0] if len(rates) == 1 else "/".join(f"{rate:g}" for rate in rates)
    return [first.trial.cell, first.trial.H, first.recurrent, rate]


def make_result_table(records: Sequence[TrainingRecord]) -> Table:
    """Returns the table of each cell's quality."""
    first = records[0]
    extras = list(dict.fromkeys(name for record in records for name in record.extras))
    in_layer = [Column("in the layer", "layer_parameters", "", format_count)] if any(record.layer for record in records) else []
    rows = []
    for found in group_by_cell(records).values():
        more = [extra_ci(known, name) if (known := [r for r in found if name in r.extras]) else None for name in extras]
        clipped = sum(r.clipped for r in found) / max(1, sum(r.steps for r in found))
        ends = Counter(record.end for record in found)
        rows.append([
            *list_key(found), *([found[0].layer] if in_layer else []), quality_ci(found), *more, median(r.steps for r in found),
            median(r.seconds for r in found),
            ", ".join(f"{ENDS[end]} ({count_noun(count, 'seed')})" for end, count in ends.items()), clipped,
            max(r.largest for r in found), found[0].backend, max(r.error for r in found),
        ])  # fmt: skip
    columns = [
        *CELL, *in_layer, Column(f"{first.metric} (test)", f"test_{name_field(first.metric)}", "", format_mean),
        *(Column(name, name_field(name), "", format_mean) for name in extras),
        Column("steps", "steps", "", format_number), Column("seconds", "seconds", "", format_number),
        make_word_column("stopped_because", "stopped because"),
        Column("steps with clipped gradient", "clipped_steps", "percent", "{:.0%}".format),
        Column("largest gradient norm", "largest_gradient_norm", "", format_number),
        Column("backend", "backend", words=True, terminal=False), Column("error", "error", "", "{:.0e}".format, terminal=False),
    ]  # fmt: skip
    seeds = count_noun(len({record.trial.seed for record in records}), "seed")
    sizes = " ".join(f"{name}={value}" for name, value in first.sizes.items())
    without, expected = (", ".join(f"{n} {format_number(v)}" for n, v in known.items()) for known in (first.baselines, first.expected))
    caption = f"{seeds}; {sizes}. {'Higher' if first.higher else 'Lower'} is better."
    caption += f" Without a recurrent layer, on the test data: {without}." if without else ""
    caption += f" Expected without a recurrent layer, not measured on the test data: {expected}." if expected else ""
    title = title_group(records)
    return Table(f"{title[0].upper()}{title[1:]}", columns, rows, caption)


def name_field(words: str) -> str:
    """Returns words as the name of a CSV column."""
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())


def make_quality_table(records: Sequence[TrainingRecord]) -> Table:
    """Returns the table of each cell's time to a common quality, also relative to the gru; without rows if no cell beats the baselines."""
    cells, goal, title = group_by_cell(records), common_quality(records), f"Time to quality: {title_group(records)}"
    if goal is None:
        return Table(title, CELL, [], "No cell beats the baselines, so there is no common quality to reach.", level=3)
    gru, papers = cells.get("gru", []), records[0].trial.task == THEIRS
    rows = []
    for cell, found in cells.items():
        points = [point for record in found if (point := first_reaching(record, goal)) and point.step]
        ratios = [compare_times(found, gru, goal, of) if cell != "gru" else None for _, of in STEPS_OR_SECONDS]
        scaled = 46 * ratios[1].value if ratios[1] else 46 if cell == "gru" and points else None
        means = [geometric_mean_ci([of(p) for p in points]) if points else None for _, of in STEPS_OR_SECONDS]
        rows.append([*list_key(found), (len(points), len(found)), *means, *ratios, *([scaled, PAPER.get(cell)] if papers else [])])
    reached = (Column("", "seeds_that_reach_it"), Column("", "seeds"))
    hours = (
        Column("hours, scaled to 46 for the gru", "hours_had_the_gru_46", "", format_number),
        Column("hours in the paper", "hours_in_paper"),
    )
    names = [name for name, _ in STEPS_OR_SECONDS]
    columns = [
        *CELL, Column("seeds that reach it", show="{0[0]} of {0[1]}".format, parts=reached),
        *(Column(name, name, "", format_mean) for name in names),
        *(Column(f"{name} ÷ gru's", f"{name}_over_gru", "", format_mean) for name in names), *(hours if papers else []),
    ]  # fmt: skip
    caption = f"Time to {records[0].metric} {format_number(goal)} on validation data: geometric means over the seeds that reach it."
    failed = [cell for cell, found in cells.items() if not beats_baselines(found)]
    caption += f" No better than the baselines: {', '.join(failed)}." if failed else ""
    return Table(title, columns, rows, caption, level=3)


def make_drive_table(records: Sequence[LearnedRecord]) -> Table:
    groups: dict[tuple[str, str, int], list[LearnedRecord]] = {}
    for record in records:
        groups.setdefault((record.trial.task, record.trial.cell, record.trial.H), []).append(record)
    rows = [
        [*key[1:], *(mean(getattr(r, share) for r in found) for share in ("own", "neighbours", "input")), find_median_gates(found)]
        for key, found in groups.items()
    ]
    shares = {"its own past": "own_past", "its neighbours": "neighbours", "its input": "input"}
    found = (Column(header, name, "percent", "{:.1%}".format) for header, name in shares.items())
    gates = Column("median opening of gates", "gate", show=lambda known: ", ".join(f"{name} {value:.2f}" for name, value in known.items()))
    seeds = list_seeds({r.trial.seed for r in records})
    of_seeds = f"{'means over ' if ',' in seeds else ''}{seeds}{tell_examples(records)}"
    caption = f"Shares of the variance of a unit's next state, on validation data, {of_seeds}."
    return Table("What drives a unit's update", [*CELL[:2], *found, gates], rows, caption)


def tell_examples(records: Sequence[LearnedRecord]) -> str:
    """Returns what a caption says of the size of the training data, "" for a task of one size."""
    return f", trained on {records[0].trial.examples:,} examples" if records[0].trial.examples else ""


def find_median_gates(records: Sequence[LearnedRecord]) -> dict[str, float] | None:
    """Returns the median opening of each gate over all steps and seeds, or None without gates."""
    steps: dict[str, list[float]] = {}
    for gate in (gate for record in records for gate in record.gates):
        steps.setdefault(gate.name, []).extend(gate.middle)
    return {name: median(values) for name, values in steps.items()} or None


def make_noise_table(records: Sequence[LearnedRecord], first: TrainingRecord) -> Table:
    metric = first.metric
    levels = list(dict.fromkeys(level for record in records for level in record.noise))
    cells = dict.fromkeys(r.trial.cell for r in records)
    values = {cell: [r.noise for r in records if r.trial.cell == cell] for cell in cells}
    rows = [
        [cell, *(metric_ci(v, share=first.higher) if (v := [n[level] for n in values[cell] if level in n]) else None for level in levels)]
        for cell in cells
    ]
    columns = [CELL[0], *(Column(level, name_field(metric), "", format_mean, at=level) for level in levels)]
    seeds = list_seeds({r.trial.seed for r in records}) + tell_examples(records)
    return Table(
        "Robustness to noise", columns, rows, f"{metric} on the test data, {seeds}, by the noise added to inputs or states.", across="noise"
    )


def make_jacobian_table(records: Sequence[TrainingRecord]) -> Table:
    """Returns the table of the Jacobians over a training, of the seeds that have them; without rows in older records."""
    known = {cell: measured for cell, found in group_by_cell(records).items() if (measured := [r for r in found if r.jacobians])}
    rows = []
    for cell, found in known.items():
        stages = zip(*map(list_jacobian_growth, found), strict=True)
        slopes = [[v for v in stage if v is not None] for stage in stages]
        rows.append([cell, found[0].trial.H, *(mean_ci(values) if values else None for values in slopes)])
    columns = [*CELL[:2], *(Column(stage, "growth", "nats_per_step", format_growth, at=stage) for stage in STAGES)]
    seeds = list_seeds({r.trial.seed for found in known.values() for r in found})
    caption = f"Growth of √(mean σ²) of ∂h_T/∂x_{{T-k}} over lag k on the task's own inputs, nats per step; {seeds}."
    return Table(f"Input-output Jacobian: {title_group(records)}", columns, rows, caption, "stage", level=3)


def list_jacobian_growth(record: TrainingRecord) -> list[float | None]:
    """Returns the growth of the Jacobian over lag in nats per step at the start, in the middle, and at the end of a training."""
    found = [fit_jacobian_growth(j.lags, j.mean_square) for j in record.jacobians]
    return [found[0], found[1] if len(found) > 2 else None, found[-1] if len(found) > 1 else None]


def make_tables(records: Records) -> list[Table | str]:
    """Returns all tables of a run's trainings."""
    parts: list[Table | str] = []
    for found in group_trainings(records.training):
        parts += [make_result_table(found), make_quality_table(found)]
        parts += [table for table in (make_jacobian_table(found),) if table.rows]
    largest = max((r.trial.examples for r in records.learned), default=0)
    seen = [r for r in sort_by_seed(records.learned) if r.trial.examples in (0, largest)]
    return [*parts, *([make_drive_table(seen), make_noise_table(seen, records.training[0])] if seen else [])]


def make_result_tables(records: Records) -> list[Table]:
    """Returns the tables of each cell's quality, for a terminal."""
    return [make_result_table(group) for group in group_trainings(records.training)]

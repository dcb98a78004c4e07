"""Trainings, as tables of a report."""

import math
from collections import Counter
from collections.abc import Callable, Sequence
from statistics import median
from typing import Any

from bench.analysis.mean_ci import geometric_mean_ci, mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.training_metrics import beats_baselines, common_quality, compare_times, first_reaching, group_by_cell, sort_by_seed
from bench.records import Records
from bench.records.training_record import LearnedRecord, Point, TrainingRecord
from bench.render.formatting import count_noun, format_count, format_number
from bench.render.table import Column, Table

PAPER = {"gru": 46, "cfn": 36, "minimal": 30}
"""Hours of training that Chen 2017 gives its three cells, on the task THEIRS."""
THEIRS = "recommend"
HEADINGS = {"hidden": "at equal hidden width", "parameters": "at equal parameters of the recurrent layer"}
ENDS = {
    "target": "target reached", "stopped": "no improvement", "steps": "all steps done", "time": "out of time", "diverged": "diverged",
}  # fmt: skip
CELL = (
    Column("cell", "cell", words=True), Column("H", "H"), Column("recurrent parameters", "recurrent_parameters", "", format_count),
    Column("rate", "rate", "", "{:g}".format),
)  # fmt: skip
STEPS_OR_SECONDS: tuple[tuple[str, Callable[[Point], float]], ...] = (("steps", lambda p: p.step), ("seconds", lambda p: p.seconds))

METHOD = """\
- Every cell has the same data in the same order for the same seed, the same optimiser (Adam; of a sparse embedding its sparse form), the
  same limit of 1 on the gradient's norm, and the same search: where a task has several learning rates, each is tried with a seed of
  its own, and the best on the validation data is used for all seeds.
- The trainings of one seed are interleaved, from one evaluation to the next, in random order, so that all of them have the same minutes
  of the machine.
- Before it is trained, a layer's outputs and gradients are compared with its equations in float64, on the data of the task; the largest
  error stands in the table, and a layer that is wrong is not trained.
- The curve is of validation data; the final value is of test data, by the model of the best evaluation. Seconds are those of training, data
  and all, without the evaluations; a step during which the process was stopped counts as the median since the last one. "No improvement":
  nothing better in a number of evaluations; "diverged": the loss or a gradient was no longer finite.
- A mean over seeds has a 95% interval by Student's t; a ratio of times is the geometric mean over pairs of one seed. The quality that times
  are taken to is the target or, where there is none, what every seed of every cell reaches that beats the baselines.
- What drives a unit's update: the variance of its next state to first order, shared out among its own states, those of all other units, and
  the input, as if these varied independently; mean over units, sequences and steps of validation data.
- Noise is normal, its deviation that many times the deviation of the inputs or of the outputs; on states it is added at every step."""


def group_trainings(records: Sequence[TrainingRecord]) -> dict[tuple[str, str, int], list[TrainingRecord]]:
    """Records that are compared: of one task and size, and with one thing equal."""
    found: dict[tuple[str, str, int], list[TrainingRecord]] = {}
    for record in sorted(records, key=lambda r: (r.trial.examples, r.trial.equal)):
        found.setdefault((record.trial.task, record.trial.equal, record.trial.examples), []).append(record)
    return found


def title_group(key: tuple[str, str, int]) -> str:
    task, equal, examples = key
    return f"{task}{f' with {examples:,} examples' if examples else ''}, {HEADINGS[equal]}"


def format_mean(value: Estimate) -> str:
    """A mean with its interval, where it has one."""
    known = format_number(value.value)
    return known if math.isinf(value.high) else f"{known} [{format_number(value.low)}, {format_number(value.high)}]"


def row_key(records: Sequence[TrainingRecord]) -> list[Any]:
    first = records[0]
    rates = list(dict.fromkeys(record.trial.rate for record in records))
    rate: float | str = rates[0] if len(rates) == 1 else "/".join(f"{rate:g}" for rate in rates)
    return [first.trial.cell, first.trial.H, first.recurrent, rate]


def result_table(key: tuple[str, str, int], records: Sequence[TrainingRecord]) -> Table:
    """Build the table of each cell's quality."""
    first = records[0]
    extras = list(dict.fromkeys(name for record in records for name in record.extras))
    rows = []
    for found in group_by_cell(records).values():
        more = [mean_ci(known) if (known := [r.extras[name] for r in found if name in r.extras]) else None for name in extras]
        clipped = sum(r.clipped for r in found) / max(1, sum(r.steps for r in found))
        ends = Counter(record.end for record in found)
        rows.append([
            *row_key(found), mean_ci([r.final for r in found]), *more, median(r.steps for r in found), median(r.seconds for r in found),
            ", ".join(f"{ENDS[end]} ({count_noun(count, 'seed')})" for end, count in ends.items()), clipped, found[0].backend,
            max(r.error for r in found),
        ])  # fmt: skip
    columns = [
        *CELL, Column(f"{first.metric} (test)", f"test_{name_field(first.metric)}", "", format_mean),
        *(Column(name, name_field(name), "", format_mean) for name in extras),
        Column("steps", "steps", "", format_number), Column("seconds", "seconds", "", format_number),
        Column("stopped because", "stopped_because", words=True),
        Column("steps with clipped gradient", "clipped_steps", "percent", "{:.0%}".format),
        Column("backend", "backend", words=True, terminal=False), Column("error", "error", "", "{:.0e}".format, terminal=False),
    ]  # fmt: skip
    seeds = count_noun(len({record.trial.seed for record in records}), "seed")
    sizes = " ".join(f"{name}={value}" for name, value in first.sizes.items())
    without = ", ".join(f"{name} {format_number(value)}" for name, value in first.baselines.items())
    caption = f"{seeds}; {sizes}. {'Higher' if first.higher else 'Lower'} is better."
    caption += f" Without a recurrent layer: {without}." if without else ""
    title = title_group(key)
    return Table(f"{title[0].upper()}{title[1:]}", columns, rows, caption)


def name_field(words: str) -> str:
    """Words as the name of a column in CSV."""
    return "_".join("".join(c if c.isalnum() else " " for c in words).split())


def quality_table(key: tuple[str, str, int], records: Sequence[TrainingRecord]) -> Table:
    """Build the table of each cell's time to a common quality, and compared with the gru's; without rows where no cell beats the
    baselines."""
    cells, goal, title = group_by_cell(records), common_quality(records), f"Time to quality: {title_group(key)}"
    if goal is None:
        return Table(title, CELL, [], "No cell is better than the baselines: there is no quality to take times to.", level=3)
    gru, papers = cells.get("gru", []), records[0].trial.task == THEIRS
    rows = []
    for cell, found in cells.items():
        points = [point for record in found if (point := first_reaching(record, goal)) and point.step]
        ratios = [compare_times(found, gru, goal, of) if cell != "gru" else None for _, of in STEPS_OR_SECONDS]
        scaled = 46 * ratios[1].value if ratios[1] else 46 if cell == "gru" and points else None
        means = [geometric_mean_ci([of(p) for p in points]) if points else None for _, of in STEPS_OR_SECONDS]
        rows.append([*row_key(found), (len(points), len(found)), *means, *ratios, *([scaled, PAPER.get(cell)] if papers else [])])
    reached = (Column("", "seeds_that_reach_it"), Column("", "seeds"))
    hours = [Column("hours, had the gru 46", "hours_had_the_gru_46", "", format_number), Column("paper", "hours_in_paper")]
    columns = [
        *CELL, Column("seeds that reach it", show="{0[0]} of {0[1]}".format, parts=reached),
        *(Column(name, name, "", format_mean) for name, _ in STEPS_OR_SECONDS),
        *(Column(f"{name} ÷ gru's", f"{name}_over_gru", "", format_mean) for name, _ in STEPS_OR_SECONDS),
        *(hours if papers else []),
    ]  # fmt: skip
    caption = f"To {format_number(goal)} in {records[0].metric} on the validation data; geometric means over the seeds that reach it."
    failed = [cell for cell, found in cells.items() if not beats_baselines(found)]
    return Table(title, columns, rows, f"{caption} {list_failed(failed)}".strip(), level=3)


def list_failed(cells: Sequence[str]) -> str:
    verb = "isn't" if len(cells) == 1 else "aren't"
    return f"{', '.join(cells)} {verb} better than the baselines." if cells else ""


def drive_table(records: Sequence[LearnedRecord]) -> Table:
    rows = [[r.trial.cell, r.trial.H, r.own, r.neighbours, r.input, median_gates(r)] for r in records]
    shares = {"its own past": "own_past", "its neighbours": "neighbours", "its input": "input"}
    columns = [
        *CELL[:2], *(Column(header, name, "percent", "{:.1%}".format) for header, name in shares.items()),
        Column("median opening of its gates", "gate", show=lambda gates: ", ".join(f"{name} {value:.2f}" for name, value in gates.items())),
    ]  # fmt: skip
    return Table("What drives a unit's update", columns, rows, "Of a trained layer, on validation data.")


def median_gates(record: LearnedRecord) -> dict[str, float] | None:
    """The median opening of each gate over all steps."""
    return {gate.name: median(gate.middle) for gate in record.gates} or None


def noise_table(records: Sequence[LearnedRecord], metric: str) -> Table:
    levels = list(dict.fromkeys(level for record in records for level in record.noise))
    rows = [[r.trial.cell, *(r.noise.get(level) for level in levels)] for r in records]
    columns = [CELL[0], *(Column(level, name_field(metric), "", format_number, at=level) for level in levels)]
    return Table("Robustness to noise", columns, rows, f"{metric} on the test data, of seed 0.", across="noise")


def training_tables(records: Records) -> list[Table | str]:
    """All there is to say of a run's trainings."""
    parts: list[Table | str] = []
    for key, found in group_trainings(records.training).items():
        parts += [result_table(key, found), quality_table(key, found)]
    largest = max((r.trial.examples for r in records.learned), default=0)
    seen = [r for r in sort_by_seed(records.learned) if r.trial.examples in (0, largest)]
    return [*parts, *([drive_table(seen), noise_table(seen, records.training[0].metric)] if seen else [])]


def result_tables(records: Records) -> list[Table]:
    """Build the tables of each cell's quality for a terminal."""
    return [result_table(key, group) for key, group in group_trainings(records.training).items()]

"""Trainings, as tables and sections of a report."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from rich import box
from rich.table import Table

from bench.analysis.mean_ci import geometric_mean_ci, mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.training_metrics import beats_baselines, common_quality, compare_times, first_reaching, group_by_cell, sort_by_seed
from bench.records import Records
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.render.formatting import NONE, count_noun, format_number
from bench.render.markdown import table

PAPER = {"gru": 46, "cfn": 36, "minimal": 30}
"""Hours of training that Chen 2017 gives its three cells, on the task THEIRS."""

THEIRS = "recommend"

HEADINGS = {"hidden": "at equal hidden width", "parameters": "at equal parameters of the recurrent layer"}
CELL = ("cell", "H", "recurrent parameters", "rate")

METHOD = """\
- Every cell has the same data in the same order for the same seed, the same optimiser (Adam; of a sparse embedding its sparse form), the
  same limit of 1 on the gradient's norm, and the same search: where a task has several learning rates, each is tried with a seed of
  its own, and the best on the validation data is used for all seeds.
- The trainings of one seed take turns, a look each, in random order, so that all of them have the same minutes of the machine.
- Before it is trained, a layer's outputs and gradients are held against its equations in float64, on the data of the task; the largest
  error stands in the table, and a layer that is wrong is not trained.
- The curve is of validation data; the final value is of test data, by the model of the best look. Seconds are those of training, data and
  all, without the looks; a step during which the process was stopped counts as the median since the last look. "target": its target was
  reached; "stopped": nothing better in a number of looks; "steps": all done; "time": out of time; "diverged": the loss or a gradient was
  no longer finite.
- A mean over seeds has a 95% interval by Student's t; a ratio of times is the geometric mean over pairs of one seed. The quality that times
  are taken to is the target or, where there is none, what every seed of every cell reaches that beats the baselines.
- What moves a unit: the variance of its next state to first order, shared out among its own states, those of all other units, and the
  input, as if these varied independently; mean over units, sequences and steps of validation data.
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


def spread(value: Estimate, digits: int = 3) -> str:
    """A mean with its interval, where it has one."""
    known = format_number(value.value, digits)
    return known if math.isinf(value.high) else f"{known} [{format_number(value.low, digits)}, {format_number(value.high, digits)}]"


def named(records: Sequence[TrainingRecord]) -> list[str]:
    first = records[0]
    rates = "/".join(dict.fromkeys(f"{record.trial.rate:g}" for record in records))
    return [first.trial.cell, str(first.trial.H), f"{first.recurrent:,}", rates]


def ends(records: Sequence[TrainingRecord]) -> str:
    return ", ".join(f"{count} {end}" for end, count in Counter(record.end for record in records).items())


def results(records: Sequence[TrainingRecord]) -> tuple[list[str], list[list[str]]]:
    """How good each cell became: headers and rows."""
    extras = list(dict.fromkeys(name for record in records for name in record.extras))
    headers = [*CELL, f"{records[0].metric} (test)", *extras, "steps", "seconds", "ended", "above the limit", "backend", "error"]
    rows = []
    for found in group_by_cell(records).values():
        more = [spread(mean_ci([r.extras[name] for r in found if name in r.extras])) for name in extras]
        above = sum(r.clipped for r in found) / max(1, sum(r.steps for r in found))
        rows.append([
            *named(found), spread(mean_ci([r.final for r in found])), *more, format_number(median(r.steps for r in found)),
            format_number(median(r.seconds for r in found)), ends(found), f"{above:.0%}", found[0].backend, f"{max(r.error for r in found):.0e}",
        ])  # fmt: skip
    return headers, rows


def times(records: Sequence[TrainingRecord]) -> tuple[str, list[str], list[list[str]]]:
    """How long each cell took to a common quality, and against the gru: a caption, headers and rows."""
    cells, goal = group_by_cell(records), common_quality(records)
    if goal is None:
        return "No cell is better than the baselines: there is no quality to take times to.", [], []
    gru = cells.get("gru", [])
    headers = [*CELL, "seeds that reach it", "steps", "seconds", "steps ÷ gru's", "seconds ÷ gru's"]
    papers = records[0].trial.task == THEIRS
    rows = []
    for cell, found in cells.items():
        points = [point for record in found if (point := first_reaching(record, goal)) and point.step]
        ratios = [compare_times(found, gru, goal, of) if cell != "gru" else None for of in (lambda p: p.step, lambda p: p.seconds)]
        scaled = 46 * ratios[1].value if ratios[1] else 46 if cell == "gru" and points else None
        rows.append([
            *named(found), f"{len(points)} of {len(found)}",
            *(spread(geometric_mean_ci([of(p) for p in points])) if points else NONE for of in (lambda p: p.step, lambda p: p.seconds)),
            *(spread(ratio) if ratio else NONE for ratio in ratios),
            *([NONE if scaled is None else format_number(scaled), str(PAPER.get(cell, NONE))] if papers else []),
        ])  # fmt: skip
    headers += ["hours, had the gru 46", "paper"] if papers else []
    caption = f"To {format_number(goal)} in {records[0].metric} on the validation data; geometric means over the seeds that reach it."
    failed = [cell for cell, found in cells.items() if not beats_baselines(found)]
    return f"{caption} {failure(failed)}".strip(), headers, rows


def failure(cells: Sequence[str]) -> str:
    verb = "isn't" if len(cells) == 1 else "aren't"
    return f"{', '.join(cells)} {verb} better than the baselines." if cells else ""


def section(key: tuple[str, str, int], records: Sequence[TrainingRecord]) -> list[str]:
    first = records[0]
    seeds = count_noun(len({record.trial.seed for record in records}), "seed")
    sizes = " ".join(f"{name}={value}" for name, value in first.sizes.items())
    known = ", ".join(f"{name} {format_number(value)}" for name, value in first.baselines.items())
    caption = f"{seeds}; {sizes}. {'Higher' if first.higher else 'Lower'} is better."
    said, headers, rows = times(records)
    return [
        f"## {title_group(key)[0].upper()}{title_group(key)[1:]}",
        f"{caption} Without a recurrent layer: {known}." if known else caption,
        table(*results(records)),
        f"### Time to quality: {title_group(key)}",
        said,
        table(headers, rows) if rows else "",
    ]


def shares(records: Sequence[LearnedRecord]) -> str:
    rows = [[r.trial.cell, str(r.trial.H), *(f"{share:.1%}" for share in (r.own, r.neighbours, r.input)), f"{half(r)}"] for r in records]
    return table(("cell", "H", "its own past", "its neighbours", "its input", "median opening of its gates"), rows)


def half(record: LearnedRecord) -> str:
    """The median opening of each gate over all steps."""
    return ", ".join(f"{gate.name} {median(gate.middle):.2f}" for gate in record.gates) or NONE


def noises(records: Sequence[LearnedRecord]) -> str:
    levels = list(dict.fromkeys(level for record in records for level in record.noise))
    rows = [[r.trial.cell, *(format_number(r.noise[level]) if level in r.noise else NONE for level in levels)] for r in records]
    return table(("cell", *levels), rows)


def training_sections(records: Records) -> list[str]:
    """All there is to say of a run's trainings."""
    parts = [part for key, found in group_trainings(records.training).items() for part in section(key, found)]
    seen = [
        r
        for r in sort_by_seed(records.learned)
        if not r.trial.examples or r.trial.examples == max(o.trial.examples for o in records.learned)
    ]
    if seen:
        parts += ["## What moves a unit", "Of a trained layer, on validation data (see Method).", shares(seen)]
        parts += ["## In noise", f"{records.training[0].metric} on the test data, of seed 0.", noises(seen)]
    return [part for part in parts if part]


def tables(records: Records) -> list[Table]:
    """For a terminal: how good each cell became."""
    found = []
    for key, group in group_trainings(records.training).items():
        headers, rows = results(group)
        shown = Table(*headers[:-2], title=title_group(key), title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)
        for row in rows:
            shown.add_row(*row[:-2])
        found.append(shown)
    return found

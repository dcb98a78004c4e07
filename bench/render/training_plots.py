"""Draws trainings: curves over time and steps, quality over examples, and the behaviour of a trained layer."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.training_metrics import group_by_cell, quality_ci, sort_by_seed
from bench.records import Records
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.render.formatting import format_number, format_power
from bench.render.plots import (
    MARKERS,
    cell_style,
    cycle_color,
    draw_rule,
    label_bottom,
    label_decades,
    make_axes,
    new_figure,
    save_figure,
    set_titles,
    styled,
)
from bench.render.training_report import STAGES, group_trainings, title_group

LIGHT, DARK = "#fefefe", "#010101"
"""The colours of marks on a map, the same on light and dark pages."""
BY_HAND = "set by hand"
UNITS = 4
"""The number of units of a trained layer whose outputs are drawn."""


@styled
def draw(records: Records, folder: Path) -> list[Path]:
    """Draws training*.svg, examples.svg, counters.svg, input_jacobians.svg, field.svg, learned.svg and noise.svg, as the run has
    them."""
    written = []
    found = group_trainings(records.training)
    for k, group in enumerate(found):
        if any(len(record.curve) > 1 for record in group):
            written.append(draw_curves(group, title_group(group), folder / f"training{k + 1 if len(found) > 1 else ''}.svg"))
    if len({record.trial.examples for record in records.training}) > 1:
        written.append(draw_examples(records.training, folder / "examples.svg"))
    written += draw_counters(records.training, folder / "counters.svg")
    written += draw_jacobians([record for record in records.training if record.jacobians], folder / "input_jacobians.svg")
    seen = list({record.trial.cell: record for record in sort_by_seed(records.learned) if not record.trial.seed}.values())
    if seen:
        written += [draw_field(record, folder / "field.svg") for record in seen if record.field][:1]
        written.append(draw_learned(seen, folder / "learned.svg"))
        written.append(draw_noise(seen, records.training[0].metric, folder / "noise.svg"))
    return written


def draw_curves(records: Sequence[TrainingRecord], heading: str, path: Path) -> Path:
    """Draws the metric on the validation data over seconds and over steps, and the largest gradient norms where they are recorded: a line
    per seed, a colour per cell."""
    known = any(point.norm for record in records for point in record.curve)
    figure = new_figure(13 if known else 9, 3.8)
    *axes, norms = figure.subplots(1, 3) if known else (*figure.subplots(1, 2), None)
    axes[1].sharey(axes[0])
    axes[1].tick_params(labelleft=False)
    for k, (cell, found) in enumerate(group_by_cell(records).items()):
        for n, record in enumerate(found):
            values = [point.value for point in record.curve]
            for axis, attribute in zip(axes, ("seconds", "step"), strict=True):
                x = [getattr(point, attribute) for point in record.curve]
                look = {"marker": cell_style(k)["marker"], "markersize": 3.5, "markevery": [-1]}
                line = axis.plot(x, values, color=cycle_color(k), label=cell if n == 0 else "_", linewidth=1, **look)
                reached = f"{format_number(values[-1])} after {format_number(x[-1])} {attribute.rstrip('s')}s"
                set_titles(line, [f"{cell}, seed {record.trial.seed}: {reached}"])
            if norms is not None:
                points = [(p.step, p.norm) for p in record.curve if p.norm and math.isfinite(p.norm)]
                line = norms.plot([x for x, _ in points], [y for _, y in points], color=cycle_color(k), linewidth=1)
                reached = f"largest gradient norm {format_number(record.largest)}"
                set_titles(line, [f"{cell}, seed {record.trial.seed}: {reached}"] if points else [])
    if norms is not None:
        norms.set(xlabel="steps", ylabel="largest gradient norm between evaluations", yscale="log")
        label_decades(norms)
    for axis, label in zip(axes, ("seconds of training", "steps"), strict=True):
        axis.set_xlabel(label)
        for name, value in records[0].baselines.items():
            draw_rule(axis, value, name)
    if not records[0].higher:
        axes[0].set_yscale("log")
        axes[0].yaxis.set_major_formatter("{x:g}")
        low, high = axes[0].get_ylim()
        if high < 10 * low:
            axes[0].yaxis.set_minor_formatter("{x:g}")
    axes[0].set_ylabel(records[0].metric)
    return save_figure(figure, f"Validation data, a line for each seed: {heading}. Dotted: without a recurrent layer.", path, axes)


def draw_jacobians(records: Sequence[TrainingRecord], path: Path) -> list[Path]:
    """Draws the Jacobian of each cell on the task's own inputs over lag, for its first seed: a panel per cell, a line per stage."""
    shown = list({record.trial.cell: record for record in sort_by_seed(records)[::-1]}.values())[::-1]
    if not shown:
        return []
    figure, axes = make_axes(len(shown))
    for axis, record in zip(axes.flat, shown, strict=False):
        stages = STAGES if len(record.jacobians) > 2 else STAGES[::2]
        for k, (stage, found) in enumerate(zip(stages, record.jacobians, strict=False)):
            known = [(lag, math.sqrt(v)) for lag, v in zip(found.lags, found.mean_square, strict=True) if 0 < v < math.inf]
            line = axis.plot([lag for lag, _ in known], [v for _, v in known], label=stage, markersize=3, **cell_style(k))
            set_titles(line, [f"{record.trial.cell}, {stage}, step {found.step}, lag {lag}: {format_power(v)}" for lag, v in known])
        axis.set(title=record.trial.cell, yscale="log")
        label_decades(axis)
    label_bottom(axes, len(shown), "lag k")
    title = f"√(mean σ²) of ∂h_T/∂x_(T-k) over lag on the task's own inputs, while {shown[0].trial.task} is learned"
    return [save_figure(figure, title, path, axes.flat)]


def draw_counters(records: Sequence[TrainingRecord], path: Path) -> list[Path]:
    """Draws by how many counts a unit with weights set by hand is off, over the number of steps up and down: a line per cell."""
    found = {record.trial.cell: {name: v for name, v in record.extras.items() if name.startswith(BY_HAND)} for record in records}
    shown = {cell: values for cell, values in found.items() if values}
    if not shown:
        return []
    figure = new_figure(6, 3.6)
    axis = figure.subplots()
    for k, (cell, values) in enumerate(shown.items()):
        steps = [int("".join(filter(str.isdigit, name))) for name in values]
        line = axis.plot(steps, list(values.values()), label=cell, **cell_style(k))
        set_titles(line, [f"{cell}, {n:,} up and down: off by {format_number(v)}" for n, v in zip(steps, values.values(), strict=True)])
    axis.set(xscale="log", xlabel="steps up, and as many down", ylabel="counts that it is off")
    axis.set_yscale("symlog", linthresh=1e-5)
    axis.xaxis.set_major_formatter("{x:,g}")
    return [save_figure(figure, "One unit with weights set by hand counts up and down, in float32", path, [axis])]


def draw_examples(records: Sequence[TrainingRecord], path: Path) -> Path:
    """Draws the final metric over the number of examples, with its interval over seeds."""
    figure = new_figure(6, 3.6)
    axis = figure.subplots()
    for k, (cell, found) in enumerate(group_by_cell(records).items()):
        counts = sorted({record.trial.examples for record in found})
        means = [quality_ci([record for record in found if record.trial.examples == count]) for count in counts]
        if means[0].n > 1:
            axis.fill_between(counts, [m.low for m in means], [m.high for m in means], color=cycle_color(k), alpha=0.15, linewidth=0)
        line = axis.plot(counts, [m.value for m in means], label=cell, **cell_style(k))
        set_titles(line, [f"{cell}, {count:,} examples: {format_number(m.value)}" for count, m in zip(counts, means, strict=True)])
    axis.set(xscale="log", xlabel="examples in training", ylabel=f"{records[0].metric} (test)")
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.minorticks_off()
    return save_figure(figure, f"Quality over the number of examples: {records[0].trial.task}", path, [axis])


def draw_learned(records: Sequence[LearnedRecord], path: Path) -> Path:
    """Draws a column per cell: outputs of some units over time, gate openings over time, and what drives a unit's update."""
    figure = new_figure(max(6, 2.2 * len(records)), 6)
    axes = figure.subplots(3, len(records), squeeze=False, sharey="row", height_ratios=(2, 2, 1))
    for column, record in enumerate(records):
        units, gates, shares = axes[:, column]
        for k, unit in enumerate(record.trajectories[:UNITS]):
            line = units.plot(unit, color=cycle_color(k), linewidth=1, label=f"unit {k + 1}")
            set_titles(line, [f"{record.trial.cell}, unit {k + 1} of those shown"])
        for k, gate in enumerate(record.gates):
            gates.fill_between(range(len(gate.low)), gate.low, gate.high, color=cycle_color(k), alpha=0.2, linewidth=0)
            line = gates.plot(gate.middle, color=cycle_color(k), linewidth=1, label=gate.name)
            set_titles(line, [f"{record.trial.cell}, gate {gate.name}: median opening {np.median(gate.middle):.2f}"])
        if not record.gates:
            gates.text(0.5, 0.5, "no gates", ha="center", transform=gates.transAxes)
        gates.set(ylim=(0, 1), xlabel="step")
        units.set_title(record.trial.cell)
        stack_shares(shares, record)
    for row, label in enumerate(("output of some units", "gate: 10, 50, 90%", "")):
        axes[row, 0].set_ylabel(label)
    return save_figure(figure, f"A trained layer on validation data: {records[0].trial.task}", path, axes[:2].flat)


def draw_field(record: LearnedRecord, path: Path) -> Path:
    """Draws the trained map over a plane, with the names of its points of interest."""
    assert record.field
    values = record.field.values
    figure = new_figure(5.6, 4.6)
    axis = figure.subplots()
    drawn = axis.imshow(values, cmap="cividis", extent=(0, len(values[0]), len(values), 0), interpolation="none")
    for k, (name, (row, column)) in enumerate(record.field.points.items()):
        mark = axis.plot(column + 0.5, row + 0.5, MARKERS[k % 8], color=LIGHT, markeredgecolor=DARK, markersize=7)
        set_titles(mark, [f"{name}: row {row}, column {column}"])
        box = {"facecolor": DARK, "alpha": 0.6, "linewidth": 0, "pad": 1.5}
        axis.annotate(name, (column + 0.5, row + 0.5), textcoords="offset points", xytext=(7, 5), color=LIGHT, bbox=box)
    axis.set(xlabel="column", ylabel="row")
    axis.grid(False)
    bar = figure.colorbar(drawn, label=record.field.name)
    if bar.solids is not None:
        bar.solids.set_rasterized(True)
    return save_figure(figure, f"What {record.trial.cell} has learned: the {record.field.name} at each point of its grid", path)


def stack_shares(axis: Axes, record: LearnedRecord) -> None:
    """Draws the shares of what drives a unit's update as one bar."""
    left = 0.0
    for k, (name, share) in enumerate((("own past", record.own), ("neighbours", record.neighbours), ("input", record.input))):
        bar = axis.barh([0], [share], left=[left], color=cycle_color(k + 1), label=f"{name} {share:.0%}")
        set_titles(bar.patches, [f"{record.trial.cell}, {name}: {share:.0%}"])
        left += share
    axis.set(xlim=(0, 1), xticks=(0, 0.5, 1), yticks=[], ylim=(-0.5, 2.5))
    axis.legend(fontsize=7, loc="upper left")
    axis.grid(False)


def draw_noise(records: Sequence[LearnedRecord], metric: str, path: Path) -> Path:
    """Draws the metric over noise on inputs and on states."""
    figure = new_figure(8, 3.4)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("inputs", "states"), strict=True):
        for k, record in enumerate(records):
            points = {0.0: record.noise["none"]}
            points |= {float(name.partition(" ")[2]): value for name, value in record.noise.items() if name.startswith(kind)}
            line = axis.plot(list(points), list(points.values()), label=record.trial.cell, **cell_style(k))
            set_titles(line, [f"{record.trial.cell}, noise {x:g} on {kind}: {format_number(y)}" for x, y in points.items()])
        axis.set_xlabel(f"noise on {kind}, × their deviation")
    axes[0].set_ylabel(f"{metric} (test)")
    return save_figure(figure, f"Trained layers in noise: {records[0].trial.task}", path, axes)

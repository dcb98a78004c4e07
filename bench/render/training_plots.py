"""Trainings as SVG plots: curves over time and steps, quality over examples, and what a trained layer does."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke

from bench.analysis.mean_ci import mean_ci
from bench.analysis.training_metrics import group_by_cell, sort_by_seed
from bench.records import Records
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.render.plots import COLOURS, MARKERS, STYLE, save
from bench.render.training_report import group_trainings, title_group

DARK = [withStroke(linewidth=2, foreground="black")]  # around white letters: a map is light and dark


def draw(records: Records, folder: Path) -> list[Path]:
    """Write what there is: training*.svg, examples.svg, field.svg, learned.svg and noise.svg."""
    written = []
    with matplotlib.rc_context(STYLE):
        found = group_trainings(records.training)
        for k, (key, group) in enumerate(found.items()):
            if any(len(record.curve) > 1 for record in group):
                written.append(curves(group, title_group(key), folder / f"training{k + 1 if len(found) > 1 else ''}.svg"))
        if len({record.trial.examples for record in records.training}) > 1:
            written.append(examples(records.training, folder / "examples.svg"))
        seen = list({record.trial.cell: record for record in sort_by_seed(records.learned)}.values())
        if seen:
            written += [field(record, folder / "field.svg") for record in seen if record.field][:1]
            written += [learned(seen, folder / "learned.svg"), noise(seen, records.training[0].metric, folder / "noise.svg")]
    return written


def curves(records: Sequence[TrainingRecord], heading: str, path: Path) -> Path:
    """The validation data over seconds and over steps: a line for each seed, a colour for each cell."""
    figure = Figure(figsize=(9, 3.8), linewidth=1.5, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for k, (cell, found) in enumerate(group_by_cell(records).items()):
        for n, record in enumerate(found):
            for axis, attribute in zip(axes, ("seconds", "step"), strict=True):
                x = [getattr(point, attribute) for point in record.curve]
                label = cell if n == 0 else None
                axis.plot(x, [point.value for point in record.curve], color=COLOURS[k % 8], label=label, linewidth=1)
    for axis, label in zip(axes, ("seconds of training", "steps"), strict=True):
        axis.set_xlabel(label)
        for value in records[0].baselines.values():
            axis.axhline(value, color="0.6", linestyle=":")
    if not records[0].higher:
        axes[0].set_yscale("log")
    axes[0].set_ylabel(records[0].metric)
    legend(figure, axes[0])
    return save(figure, f"Validation data, a line for each seed: {heading}. Dotted: without a recurrent layer.", path)


def examples(records: Sequence[TrainingRecord], path: Path) -> Path:
    """Final quality over the number of examples, with its interval over seeds."""
    figure = Figure(figsize=(6, 3.6), linewidth=1.5, layout="constrained")
    axis = figure.subplots()
    for k, (cell, found) in enumerate(group_by_cell(records).items()):
        counts = sorted({record.trial.examples for record in found})
        means = [mean_ci([record.final for record in found if record.trial.examples == count]) for count in counts]
        if means[0].n > 1:
            axis.fill_between(counts, [m.low for m in means], [m.high for m in means], color=COLOURS[k % 8], alpha=0.15, linewidth=0)
        axis.plot(counts, [m.value for m in means], color=COLOURS[k % 8], marker=MARKERS[k % 8], label=cell)
    axis.set(xscale="log", xlabel="examples in training", ylabel=f"{records[0].metric} (test)")
    legend(figure, axis)
    return save(figure, f"Quality over the number of examples: {records[0].trial.task}", path)


def learned(records: Sequence[LearnedRecord], path: Path) -> Path:
    """A column for each cell: outputs of some units over time, gate openings over time, what moves a unit."""
    figure = Figure(figsize=(max(6, 2.2 * len(records)), 6), linewidth=1.5, layout="constrained")
    axes = figure.subplots(3, len(records), squeeze=False, sharey="row", height_ratios=(2, 2, 1))
    for column, record in enumerate(records):
        units, gates, shares = axes[:, column]
        for k, unit in enumerate(record.trajectories):
            units.plot(unit, color=COLOURS[k % 8], linewidth=1)
        for k, gate in enumerate(record.gates):
            gates.fill_between(range(len(gate.low)), gate.low, gate.high, color=COLOURS[k % 8], alpha=0.2, linewidth=0)
            gates.plot(gate.middle, color=COLOURS[k % 8], linewidth=1, label=gate.name)
        if record.gates:
            gates.legend(fontsize=7, ncols=2)
        else:
            gates.text(0.5, 0.5, "no gates", ha="center", transform=gates.transAxes)
        gates.set(ylim=(0, 1), xlabel="step")
        units.set_title(record.trial.cell)
        stacked(shares, record)
    for row, label in enumerate(("output of some units", "gate: 10, 50, 90%", "")):
        axes[row, 0].set_ylabel(label)
    return save(figure, f"A trained layer on validation data: {records[0].trial.task}", path)


def field(record: LearnedRecord, path: Path) -> Path:
    """What is learned over a plane, and the points of interest in it by name."""
    assert record.field
    values = record.field.values
    figure = Figure(figsize=(5.6, 4.6), linewidth=1.5, layout="constrained")
    axis = figure.subplots()
    drawn = axis.pcolormesh(values, cmap="cividis")
    for k, (name, (row, column)) in enumerate(record.field.points.items()):
        axis.plot(column + 0.5, row + 0.5, MARKERS[k % 8], color="white", markeredgecolor="black", markersize=7)
        axis.annotate(name, (column + 0.5, row + 0.5), textcoords="offset points", xytext=(6, 4), color="white", path_effects=DARK)
    axis.set(aspect="equal", xlim=(0, len(values[0])), ylim=(len(values), 0), xlabel="column", ylabel="row")
    axis.grid(False)
    figure.colorbar(drawn, label=record.field.name)
    return save(figure, f"What {record.trial.cell} has learned: the {record.field.name} at each point of its grid", path)


def stacked(axis: Axes, record: LearnedRecord) -> None:
    """One bar: what a unit's next state comes from."""
    left = 0.0
    for k, (name, share) in enumerate((("own past", record.own), ("neighbours", record.neighbours), ("input", record.input))):
        axis.barh([0], [share], left=[left], color=COLOURS[k + 1], label=f"{name} {share:.0%}")
        left += share
    axis.set(xlim=(0, 1), yticks=[], ylim=(-0.5, 2.5))
    axis.legend(fontsize=7, loc="upper left")
    axis.grid(False)


def noise(records: Sequence[LearnedRecord], metric: str, path: Path) -> Path:
    """Quality over noise, on inputs and on states."""
    figure = Figure(figsize=(8, 3.4), linewidth=1.5, layout="constrained")
    axes = figure.subplots(1, 2, sharey=True)
    for axis, kind in zip(axes, ("inputs", "states"), strict=True):
        for k, record in enumerate(records):
            points = {0.0: record.noise["none"]}
            points |= {float(name.partition(" ")[2]): value for name, value in record.noise.items() if name.startswith(kind)}
            axis.plot(list(points), list(points.values()), color=COLOURS[k % 8], marker=MARKERS[k % 8], label=record.trial.cell)
        axis.set_xlabel(f"deviation of the noise on {kind}, over their own")
    axes[0].set_ylabel(f"{metric} (test)")
    legend(figure, axes[0])
    return save(figure, f"Trained layers in noise: {records[0].trial.task}", path)


def legend(figure: Figure, axis: Axes) -> None:
    figure.legend(*axis.get_legend_handles_labels(), loc="outside right center")

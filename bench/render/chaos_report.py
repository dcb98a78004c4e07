"""Chaos in a report: exponents, strange attractors, and cells without input."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import DecayRecord, MapRecord
from bench.render.formatting import format_count, format_power
from bench.render.gradient_report import format_growth
from bench.render.plots import COLOURS, MARKERS, POWER, STYLE, save
from bench.render.table import Column, Table

MAPS_METHOD = """\
- Chaotic maps: the largest Lyapunov exponent of the two maps of Laurent & von Brecht (2017), in nats per step: the mean over starting
  points and steps, for each seed. Copies: so many points within ±ε of one, and how far apart they are after so many steps; chaos has
  spread them over the whole attractor."""
DECAY_METHOD = """\
- Without input, from standard normal states: what is left of ‖h‖ and of the distance of trajectories, over √H, after T steps, and the
  largest Lyapunov exponent from step T/2 on, mean over trajectories ± half the width of its 95% interval. CFN goes to 0 whatever its
  weights, MinimalRNN to tanh(b_z)."""
SEEN = (1e-18, 1e3)
"""The distances that are drawn: rounding errors keep those of states that don't vanish above 1e-17."""


def chaos_tables(maps: Sequence[MapRecord], decays: Sequence[DecayRecord]) -> list[Table]:
    return [*([map_table(maps)] if maps else []), *([decay_table(decays)] if decays else [])]


def map_table(maps: Sequence[MapRecord]) -> Table:
    rows = [
        [
            record.name, dict(enumerate(record.exponents)), mean_ci(record.exponents), (record.starts, record.steps), record.copies,
            record.epsilon, record.iterations, measure_extent(record),
        ]
        for record in maps
    ]  # fmt: skip
    columns = [
        Column("map", "map", words=True),
        Column("exponent, by seed", "exponent_of_seed", "", join_exponents),
        Column("mean", "exponent", "nats_per_step", format_growth),
        Column("points × steps", show="{0[0]:,} × {0[1]:,}".format, parts=(Column("", "points"), Column("", "steps"))),
        Column("copies", "copies", "", format_count), Column("ε", "epsilon", "", "{:g}".format),
        Column("after steps", "after_steps", "", format_count), Column("apart by", "extent", "", format_power),
    ]  # fmt: skip
    return Table("Chaotic maps", columns, rows)


def join_exponents(found: dict[int, float]) -> str:
    return " ".join(f"{value:.4f}" for value in found.values())


def measure_extent(record: MapRecord) -> float:
    """The diagonal of the box around the cloud."""
    sides = [max(point[k] for point in record.cloud) - min(point[k] for point in record.cloud) for k in (0, 1)]
    return math.hypot(*sides)


def decay_table(decays: Sequence[DecayRecord]) -> Table:
    first = decays[0]
    rows = []
    for record in decays:
        ends = [record.norm[-1], record.distance[-1]] if record.norm and not record.lost else [None, None]
        rows.append([record.cell, record.init, *ends, exponent_of(record), record.lost])
    columns = [
        Column("cell", "cell", words=True), Column("initialisation", "initialisation", words=True),
        Column("‖h‖/√H at the end", "norm_at_end", "", format_power), Column("distance at the end", "distance_at_end", "", format_power),
        Column("exponent", "exponent", "nats_per_step", format_growth), Column("too large for float64", "too_large"),
    ]  # fmt: skip
    return Table("Without input", columns, rows, f"T={first.T} H={first.H}, {first.B} trajectories, seed {first.seed}.")


def exponent_of(record: DecayRecord) -> Estimate | str | None:
    if not record.exponent:
        return None
    return "below any number" if -math.inf in record.exponent else mean_ci(record.exponent)


def draw(maps: Sequence[MapRecord], decays: Sequence[DecayRecord], folder: Path) -> list[Path]:
    """attractors.svg and silence.svg."""
    with matplotlib.rc_context(STYLE):
        return [*attractors(maps, folder / "attractors.svg"), *silence(decays, folder / "silence.svg")]


def attractors(maps: Sequence[MapRecord], path: Path) -> list[Path]:
    """The copies of one point at the end, and the distance of two of them on the way."""
    if not maps:
        return []
    figure = Figure(figsize=(4 * len(maps), 6.4), linewidth=1.5, layout="constrained")
    axes = figure.subplots(2, len(maps), squeeze=False, height_ratios=(2, 1))
    for k, record in enumerate(maps):
        above, below = axes[:, k]
        x, y = zip(*record.cloud, strict=True)
        # One picture within the SVG: thousands of markers of their own would make a page of megabytes.
        above.plot(x, y, ",", color=COLOURS[1], rasterized=True)
        above.set(title=record.name, xlabel="h₁", ylabel="h₂")
        below.plot(record.times, [d if d > 0 else float("nan") for d in record.distance], color=COLOURS[2])
        below.set(yscale="log", xlabel="steps", ylabel="distance of two")
        below.yaxis.set_major_formatter(POWER)
    first = maps[0]
    title = (
        f"The chaotic maps of Laurent & von Brecht (2017): above, {first.copies:,} copies of one point, within ±{first.epsilon:g} of it, "
        f"after {first.iterations:,} steps; below, the distance of two such points over the first steps"
    )
    return [save(figure, title, path)]


def silence(decays: Sequence[DecayRecord], path: Path) -> list[Path]:
    """The distance of trajectories over time, a panel for each initialisation."""
    inits = list(dict.fromkeys(record.init for record in decays if record.distance))
    if not inits:
        return []
    cells = sorted({record.cell for record in decays})
    figure = Figure(figsize=(4 * len(inits) + 1.5, 4.2), linewidth=1.5, layout="constrained")
    axes = figure.subplots(1, len(inits), sharey=True, squeeze=False)[0]
    for axis, init in zip(axes, inits, strict=True):
        for record in (record for record in decays if record.init == init):
            k, shown = cells.index(record.cell), len(record.distance)
            times = [max(t, 0.5) for t in record.times[:shown]]
            values = [d if d > 0 else float("nan") for d in record.distance]
            axis.plot(times, values, label=record.cell, color=COLOURS[k % 8], marker=MARKERS[k % 8], markevery=max(1, shown // 8))
        axis.set(title=f"initialisation {init}", xscale="log", yscale="log", xlabel="steps without input (0 at the left edge)", ylim=SEEN)
        axis.xaxis.set_major_formatter("{x:g}")
        axis.minorticks_off()
        axis.yaxis.set_major_formatter(POWER)
    axes[0].set_ylabel("distance of trajectories over √H")
    named = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(list(named.values()), list(named), loc="outside right center")
    return [save(figure, "Without input: do trajectories that began apart meet?", path)]

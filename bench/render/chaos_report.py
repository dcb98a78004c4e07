"""Chaos in a report: exponents, strange attractors, and cells without input."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
from matplotlib.figure import Figure

from bench.analysis.mean_ci import mean_ci
from bench.records import DecayRecord, MapRecord
from bench.render.formatting import NONE, format_power, two_grus
from bench.render.gradient_report import rated
from bench.render.markdown import table
from bench.render.plots import COLOURS, MARKERS, POWER, STYLE, save

MAPS = (
    "The largest Lyapunov exponent of the two maps of Laurent & von Brecht (2017), in nats per step: the mean over starting points and "
    "steps, for each seed. Copies: so many points within ±ε of one, and how far they lie apart after so many steps; chaos has spread them "
    "over the whole attractor."
)
DECAY = (
    "Without input, from standard normal states: what is left of ‖h‖ and of the distance of trajectories, over √H, after T steps, and the "
    "largest Lyapunov exponent from step T/2 on, mean over trajectories ± half the width of its 95% interval. CFN goes to 0 whatever "
    "its weights, MinimalRNN to tanh(b_z)."
)


SEEN = (1e-18, 1e3)
"""The distances that are drawn: rounding errors keep those of states that don't vanish above 1e-17."""


def section(maps: Sequence[MapRecord], decays: Sequence[DecayRecord]) -> list[str]:
    return [*map_section(maps), *decay_section(decays)]


def map_section(maps: Sequence[MapRecord]) -> list[str]:
    if not maps:
        return []
    rows = []
    for record in maps:
        exponents = " ".join(f"{value:.4f}" for value in record.exponents), rated(mean_ci(record.exponents))
        run = f"{record.starts:,} × {record.steps:,}", f"{record.copies:,}", f"{record.epsilon:g}", f"{record.iterations:,}"
        rows.append([record.name, *exponents, *run, format_power(extent(record))])
    headers = ("map", "exponent, by seed", "mean", "points × steps", "copies", "ε", "after steps", "apart by")
    return ["## Chaotic maps", MAPS, table(headers, rows)]


def extent(record: MapRecord) -> float:
    """The diagonal of the box around the cloud."""
    sides = [max(point[k] for point in record.cloud) - min(point[k] for point in record.cloud) for k in (0, 1)]
    return math.hypot(*sides)


def decay_section(decays: Sequence[DecayRecord]) -> list[str]:
    if not decays:
        return []
    first = decays[0]
    rows = []
    for record in decays:
        ends = [format_power(record.norm[-1]), format_power(record.distance[-1])] if record.norm and not record.lost else [NONE, NONE]
        rows.append([record.cell, record.init, *ends, exponent(record), str(record.lost)])
    headers = ("cell", "initialisation", "‖h‖/√H at the end", "distance at the end", "exponent", "too large for float64")
    sizes = f"T={first.T} H={first.H}, {first.B} trajectories, seed {first.seed}."
    return ["## Without input", f"{DECAY} {sizes} {two_grus(r.cell for r in decays)}".strip(), table(headers, rows, left=2)]


def exponent(record: DecayRecord) -> str:
    if not record.exponent:
        return NONE
    return "below any number" if -math.inf in record.exponent else rated(mean_ci(record.exponent))


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

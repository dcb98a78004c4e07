"""Chaos in a report: exponents, strange attractors, and cells without input."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import DecayRecord, MapRecord
from bench.render.formatting import format_count, format_power
from bench.render.gradient_report import format_growth
from bench.render.plots import STYLE, cell_style, color, decades, legend, new_figure, save, set_titles
from bench.render.table import Column, Table

MAPS_METHOD = """\
- Chaotic maps: the largest Lyapunov exponent of the two maps of Laurent & von Brecht (2017), in nats per step: the mean over starting
  points and steps, for each seed. Copies: so many points within ±ε of one, and how far apart they are after so many steps; chaos has
  spread them over the whole attractor."""
DECAY_METHOD = """\
- Without input, from standard normal states: what is left of ‖h‖ and of the distance of trajectories, over √H, after T steps, and the
  largest Lyapunov exponent from step T/2 on, mean over trajectories ± half the width of its 95% interval. CFN goes to 0 whatever its
  weights, MinimalRNN to tanh(b_z)."""

IMAGE = 128
"""Places along a side of an attractor's image."""
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
    """Write attractors.svg and silence.svg."""
    with matplotlib.rc_context(STYLE):
        return [*attractors(maps, folder / "attractors.svg"), *silence(decays, folder / "silence.svg")]


def attractors(maps: Sequence[MapRecord], path: Path) -> list[Path]:
    """Draw the copies of one point at the end, and the distance of two of them on the way."""
    if not maps:
        return []
    figure = new_figure(4 * len(maps), 6.4)
    axes = figure.subplots(2, len(maps), squeeze=False, height_ratios=(2, 1))
    for k, record in enumerate(maps):
        above, below = axes[:, k]
        x, y = zip(*record.cloud, strict=True)
        # One image within the SVG: thousands of markers of their own would make a file of megabytes.
        above.imshow(image(x, y), extent=(*ends(x), *ends(y)), aspect="auto", origin="lower", interpolation="none")
        above.set(title=record.name, xlabel="h₁", ylabel="h₂")
        known = [(t, d) for t, d in zip(record.times, record.distance, strict=False) if d > 0]
        line = below.plot([t for t, _ in known], [d for _, d in known], color=color(2))
        set_titles(line, [f"{record.name}: {format_power(known[-1][1])} after {known[-1][0]:,} steps"])
        below.set(yscale="log", xlabel="steps", ylabel="distance of two")
        decades(below)
    first = maps[0]
    title = (
        f"The chaotic maps of Laurent & von Brecht (2017): above, {first.copies:,} copies of one point, within ±{first.epsilon:g} of it, "
        f"after {first.iterations:,} steps; below, the distance of two such points over the first steps"
    )
    return [save(figure, title, path)]


def ends(values: Sequence[float]) -> tuple[float, float]:
    """Return where a scale begins and ends, apart even where all values are one."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def image(x: Sequence[float], y: Sequence[float]) -> NDArray[np.uint8]:
    """Return an image of points in one colour, opaque where there are any."""
    counts = np.histogram2d(y, x, bins=IMAGE, range=(ends(y), ends(x)))[0]
    made = np.zeros((IMAGE, IMAGE, 4), np.uint8)
    made[counts > 0] = [int(color(1)[k : k + 2], 16) for k in (1, 3, 5)] + [255]
    return made


def silence(decays: Sequence[DecayRecord], path: Path) -> list[Path]:
    """Draw the distance of trajectories over time, a panel for each initialisation."""
    inits = list(dict.fromkeys(record.init for record in decays if record.distance))
    if not inits:
        return []
    cells = sorted({record.cell for record in decays})
    figure = new_figure(4 * len(inits) + 1.5, 4.2)
    axes = figure.subplots(1, len(inits), sharey=True, squeeze=False)[0]
    for axis, init in zip(axes, inits, strict=True):
        for record in (record for record in decays if record.init == init and record.distance):
            known = [(max(t, 0.5), d) for t, d in zip(record.times, record.distance, strict=False) if d > 0]
            known = known[: next((k + 1 for k, (_, d) in enumerate(known) if d > SEEN[1]), len(known))]
            step, look = max(1, len(known) // 8), cell_style(cells.index(record.cell))
            heights = [min(d, 2 * SEEN[1]) for _, d in known]
            line = axis.plot([t for t, _ in known], heights, label=record.cell, markevery=step, **look)
            set_titles(line, [f"{record.cell}, {init}, {t:g} steps: {format_power(d)}" for t, d in known[::step]])
        axis.set(title=f"initialisation {init}", xscale="log", yscale="log", xlabel="steps without input (0 at the left edge)", ylim=SEEN)
        decades(axis)
    axes[0].set_ylabel("distance of trajectories over √H")
    legend(figure, axes)
    return [save(figure, "Without input: do trajectories that began apart meet?", path)]

"""Chaos in a report: exponents, strange attractors, and cells without input."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray

from bench.analysis.mean_ci import spread
from bench.records import DecayRecord, MapRecord
from bench.render.formatting import NONE, power, two_grus
from bench.render.gradient_report import rated
from bench.render.markdown import table
from bench.render.plots import STYLE, cell_style, color, decades, legend, new_figure, save, set_titles

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

IMAGE = 128
"""Places along a side of an attractor's image."""
SEEN = (1e-18, 1e3)
"""The distances that are drawn: rounding errors keep those of states that don't vanish above 1e-17."""


def section(maps: Sequence[MapRecord], decays: Sequence[DecayRecord]) -> list[str]:
    return [*map_section(maps), *decay_section(decays)]


def map_section(maps: Sequence[MapRecord]) -> list[str]:
    if not maps:
        return []
    rows = []
    for record in maps:
        exponents = " ".join(f"{value:.4f}" for value in record.exponents), rated(spread(record.exponents))
        run = f"{record.starts:,} × {record.steps:,}", f"{record.copies:,}", f"{record.epsilon:g}", f"{record.iterations:,}"
        rows.append([record.name, *exponents, *run, power(extent(record))])
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
        ends = [power(record.norm[-1]), power(record.distance[-1])] if record.norm and not record.lost else [NONE, NONE]
        rows.append([record.cell, record.init, *ends, exponent(record), str(record.lost)])
    headers = ("cell", "initialisation", "‖h‖/√H at the end", "distance at the end", "exponent", "too large for float64")
    sizes = f"T={first.T} H={first.H}, {first.B} trajectories, seed {first.seed}."
    return ["## Without input", f"{DECAY} {sizes} {two_grus(r.cell for r in decays)}".strip(), table(headers, rows, left=2)]


def exponent(record: DecayRecord) -> str:
    if not record.exponent:
        return NONE
    return "below any number" if -math.inf in record.exponent else rated(spread(record.exponent))


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
        set_titles(line, [f"{record.name}: {power(known[-1][1])} after {known[-1][0]:,} steps"])
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
            set_titles(line, [f"{record.cell}, {init}, {t:g} steps: {power(d)}" for t, d in known[::step]])
        axis.set(title=f"initialisation {init}", xscale="log", yscale="log", xlabel="steps without input (0 at the left edge)", ylim=SEEN)
        decades(axis)
    axes[0].set_ylabel("distance of trajectories over √H")
    legend(figure, axes)
    return [save(figure, "Without input: do trajectories that began apart meet?", path)]

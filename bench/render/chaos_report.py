"""Renders chaotic maps and cells without input: tables and plots."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import DecayRecord, MapRecord
from bench.render.formatting import format_count, format_power
from bench.render.gradient_report import format_growth
from bench.render.plots import cell_style, cycle_color, label_decades, new_figure, save_figure, set_titles, styled
from bench.render.table import CELL, INIT, Column, Table, make_word_column

ANALYSIS = """\
- A Lyapunov exponent without input is the mean over trajectories ± half the width of its 95% interval."""

GROWS = "grows beyond float64"
IMAGE = 128
"""Pixels along a side of the image of an attractor."""
SEEN = (1e-18, 1e3)
"""The distances that are drawn. Rounding errors keep the distance of states that do not vanish above 1e-17."""


def make_tables(maps: Sequence[MapRecord], decays: Sequence[DecayRecord]) -> list[Table]:
    """Returns the tables of chaotic maps and of cells without input."""
    return [*([make_map_table(maps)] if maps else []), *([make_decay_table(decays)] if decays else [])]


def make_map_table(maps: Sequence[MapRecord]) -> Table:
    rows = []
    for record in maps:
        exponents = dict(enumerate(record.exponents)), mean_ci(record.exponents)
        copies = record.copies, record.epsilon, record.iterations, measure_extent(record)
        rows.append([record.name, *exponents, (record.starts, record.steps), *copies])
    columns = [
        make_word_column("map"),
        Column("exponent, by seed", "exponent_of_seed", "", join_exponents),
        Column("mean", "exponent", "nats_per_step", format_growth),
        Column("points × steps", show="{0[0]:,} × {0[1]:,}".format, parts=(Column("", "points"), Column("", "steps"))),
        Column("copies", "copies", "", format_count), Column("ε", "epsilon", "", "{:g}".format),
        Column("steps of the copies", "after_steps", "", format_count), Column("extent", "extent", "", format_power),
    ]  # fmt: skip
    return Table("Chaotic maps", columns, rows)


def join_exponents(found: dict[int, float]) -> str:
    return " ".join(f"{value:.4f}" for value in found.values())


def measure_extent(record: MapRecord) -> float:
    """Returns the diagonal of the bounding box of the cloud."""
    sides = [max(point[k] for point in record.cloud) - min(point[k] for point in record.cloud) for k in (0, 1)]
    return math.hypot(*sides)


def make_decay_table(decays: Sequence[DecayRecord]) -> Table:
    first = decays[0]
    rows = []
    for record in decays:
        ends = [record.norm[-1], record.distance[-1]] if record.norm and not record.lost else [None, None]
        rows.append([record.cell, record.init, *ends, find_exponent(record), record.lost])
    columns = [
        CELL, INIT, Column("‖h‖/√H at the end", "norm_at_end", "", format_power),
        Column("distance at the end", "distance_at_end", "", format_power),
        Column("largest Lyapunov exponent", "exponent", "nats_per_step", format_growth), Column("trajectories beyond float64", "too_large"),
    ]  # fmt: skip
    return Table("Without input", columns, rows, f"T={first.T} H={first.H}, {first.B} trajectories, seed {first.seed}.")


def find_exponent(record: DecayRecord, looks: int = 1) -> Estimate | str | None:
    """Returns the mean exponent, in words if it isn't finite, and None if it is unknown.

    Args:
        record: The cell without input.
        looks: The number of cells that are looked at together.
    """
    if not record.exponent:
        return GROWS if record.lost else None
    if math.inf in record.exponent:
        return GROWS
    return "−∞" if -math.inf in record.exponent else mean_ci(record.exponent, looks)


def is_growing(record: DecayRecord, looks: int) -> bool:
    """Returns whether a small difference is shown to grow; `looks` cells are looked at together."""
    found = find_exponent(record, looks)
    return found.sign > 0 if isinstance(found, Estimate) else found == GROWS


@styled
def draw(maps: Sequence[MapRecord], decays: Sequence[DecayRecord], folder: Path) -> list[Path]:
    """Draws attractors.svg and silence.svg into a folder and returns their paths."""
    return [*draw_attractors(maps, folder / "attractors.svg"), *draw_decays(decays, folder / "silence.svg")]


def draw_attractors(maps: Sequence[MapRecord], path: Path) -> list[Path]:
    """Draws the copies of one point at the end, and the distance of two of them over the first steps."""
    if not maps:
        return []
    figure = new_figure(4 * len(maps), 6.4)
    axes = figure.subplots(2, len(maps), squeeze=False, height_ratios=(2, 1))
    for k, record in enumerate(maps):
        above, below = axes[:, k]
        x, y = zip(*record.cloud, strict=True)
        # One raster image: as thousands of SVG markers the file would have megabytes.
        above.imshow(make_image(x, y), extent=(*find_limits(x), *find_limits(y)), aspect="auto", origin="lower", interpolation="none")
        above.set(title=record.name, xlabel="h₁", ylabel="h₂")
        known = [(t, d) for t, d in zip(record.times, record.distance, strict=False) if d > 0]
        line = below.plot([t for t, _ in known], [d for _, d in known], color=cycle_color(2), label="two copies")
        set_titles(line, [f"{record.name}: {format_power(known[-1][1])} after {known[-1][0]:,} steps"])
        below.set(yscale="log", xlabel="steps", ylabel="distance of two")
        label_decades(below)
    first = maps[0]
    title = (
        f"The chaotic maps of Laurent & von Brecht (2017): above, {first.copies:,} copies of one point, within ±{first.epsilon:g} of it, "
        f"after {first.iterations:,} steps; below, the distance of two such points over the first steps"
    )
    return [save_figure(figure, title, path)]


def find_limits(values: Sequence[float]) -> tuple[float, float]:
    """Returns the limits of an axis, which differ even if all values are equal."""
    low, high = min(values), max(values)
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def make_image(x: Sequence[float], y: Sequence[float]) -> NDArray[np.uint8]:
    """Returns an image (IMAGE, IMAGE, 4) of points in one colour, opaque where there are points."""
    counts = np.histogram2d(y, x, bins=IMAGE, range=(find_limits(y), find_limits(x)))[0]
    made = np.zeros((IMAGE, IMAGE, 4), np.uint8)
    made[counts > 0] = [int(cycle_color(1)[k : k + 2], 16) for k in (1, 3, 5)] + [255]
    return made


def draw_decays(decays: Sequence[DecayRecord], path: Path) -> list[Path]:
    """Draws the distance of trajectories over time, one panel per initialisation."""
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
        label_decades(axis)
    axes[0].set_ylabel("distance of trajectories over √H")
    return [save_figure(figure, "Distance of trajectories that started independently, without input", path, axes)]

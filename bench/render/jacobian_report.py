"""Renders Jacobians: the growth of their mean square with lag, and their spectra."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.mean_ci import mean_ci
from bench.records import JacobianRecord
from bench.render.formatting import format_power, list_seeds
from bench.render.gradient_report import format_growth, name_growth
from bench.render.plots import MARKERS, cycle_color, label_bottom, label_decades, make_axes, save_figure, set_titles, styled
from bench.render.start_table import make_start_table
from bench.render.table import CELL, INIT, Column, Table

ANALYSIS = """\
- Growth of a Jacobian: the least-squares slope of ln √(mean σ²) over lag in nats per step, with the 95% interval of its mean over seeds
  (Student's t)."""
ROUNDING = 1e-14
"""Singular values below this share of the largest are rounding errors of float64 and are not drawn."""
FLOOR = 1e-12
"""The smallest singular value that is drawn."""


def fit_jacobian_growth(lags: Sequence[int], squares: Sequence[float]) -> float | None:
    """Returns the growth of √(mean σ²) in nats per step, from its squares at each lag, from lag 1 on; None with fewer than two values.

    At lag 0 the Jacobian is the identity, so the lag is left out.
    """
    known = [(k, 0.5 * math.log(v)) for k, v in zip(lags, squares, strict=False) if k and 0 < v < math.inf]
    return float(np.polyfit([k for k, _ in known], [v for _, v in known], 1)[0]) if len(known) > 1 else None


def group_jacobians(records: Sequence[JacobianRecord]) -> dict[tuple[str, str], list[JacobianRecord]]:
    """Groups records by cell and initialisation, sorted by seed."""
    found: dict[tuple[str, str], list[JacobianRecord]] = {}
    for record in sorted(records, key=lambda r: (r.cell, r.init, r.seed)):
        found.setdefault((record.cell, record.init), []).append(record)
    return found


def make_tables(records: Sequence[JacobianRecord]) -> list[Table]:
    """Returns the table of Jacobians, or []."""
    if not records:
        return []
    first = records[0]
    rows = []
    for (cell, init), group in group_jacobians(records).items():
        spectra = [[(r.lags, getattr(r, part)) for r in group if getattr(r, part)] for part in ("state", "input", "latent")]
        slopes = [[v for lags, found in known if (v := fit_jacobian_growth(lags, found.mean_square)) is not None] for known in spectra]
        last = group[0].state.values[-1] if group[0].state.values else []
        ends = [last[0], float(np.median(last))] if last else [None, None]
        size = math.sqrt(group[0].state.mean_square[-1])
        rows.append([cell, init, *(mean_ci(found) if found else None for found in slopes), size, *ends])
    headers = {"∂s/∂s": "growth_of_states", "∂h/∂x": "growth_of_input", "∂h/∂z": "growth_of_latent"}
    columns = [
        CELL, INIT, *(Column(f"growth of {of}, nats per step", name, "nats_per_step", name_growth) for of, name in headers.items()),
        Column(f"√(mean σ²) at lag {first.lags[-1]}", f"rms_at_lag_{first.lags[-1]}", "", format_power),
        Column("largest σ", "largest", "", format_power), Column("median σ", "median", "", format_power),
    ]  # fmt: skip
    sizes = f"T={first.T} D={first.D} H={first.H}, {first.dtype}, {list_seeds({r.seed for r in records})}."
    sampled = " Mean squares are estimates from random vectors." if any(r.probes for r in records) else ""
    starts = make_start_table("Growth of the Jacobian of the states by start", list_slopes(records), format_growth)
    return [Table("Jacobians", columns, rows, sizes + sampled), *([starts] if starts.rows else [])]


def list_slopes(records: Sequence[JacobianRecord]) -> dict[tuple[str, str], list[float | None]]:
    """Returns the growth of the Jacobian of the states of every seed, by cell and initialisation."""
    return {key: [fit_jacobian_growth(r.lags, r.state.mean_square) for r in found] for key, found in group_jacobians(records).items()}


@styled
def draw(records: Sequence[JacobianRecord], folder: Path) -> list[Path]:
    """Draws jacobians.svg into a folder, for the first seed: a panel per cell and initialisation with the singular values as bands and the
    mean squares as lines."""
    shown = {key: group[0] for key, group in group_jacobians(records).items() if any(group[0].state.values)}
    if not shown:
        return []
    figure, axes = make_axes(len(shown))
    top = max(max(values) for record in shown.values() for values in record.state.values if values)
    floor = FLOOR * min(top, 1.0)
    for axis, ((cell, init), record) in zip(axes.flat, shown.items(), strict=False):
        draw_panel(axis, record, floor)
        axis.set(title=cell if init == "default" else f"{cell}, {init}", yscale="log")
        label_decades(axis)
    axes[0, 0].set_ylim(bottom=floor, top=10 * top)
    label_bottom(axes, len(shown), "lag k")
    first = next(iter(shown.values()))
    title = f"Singular values σ of ∂s_T/∂s_(T-k), s all states, over lag, T={first.T} H={first.H}, seed {first.seed}"
    return [save_figure(figure, title, folder / "jacobians.svg", axes.flat)]


def draw_panel(axis: Axes, record: JacobianRecord, floor: float) -> None:
    lags = [lag for lag, values in zip(record.lags, record.state.values, strict=True) if values]
    kept = [[v for v in values if v > ROUNDING * values[0]] or [0.0] for values in record.state.values if values]
    quantiles = np.array([np.quantile(values, (0, 0.25, 0.5, 0.75, 1)) for values in kept]).T
    least, lower, middle, upper, most = np.maximum(quantiles, floor)
    axis.fill_between(lags, least, most, color=cycle_color(1), alpha=0.2, linewidth=0, label="all σ of ∂s/∂s")
    axis.fill_between(lags, lower, upper, color=cycle_color(1), alpha=0.3, linewidth=0, label="middle half of σ")
    looks = (("∂s/∂s", record.state, "-"), ("∂h/∂x", record.input, ":"), ("∂h/∂z", record.latent, "--"))
    for k, (name, found, line) in enumerate(looks, 2):
        if found:
            known = [(lag, math.sqrt(v)) for lag, v in zip(record.lags, found.mean_square, strict=False) if v > floor**2]
            look: Any = {"color": cycle_color(k), "marker": MARKERS[k - 2], "markersize": 3, "label": f"√(mean σ²) of {name}"}
            shown = axis.plot(*zip(*known, strict=True), line, **look)
            set_titles(shown, [f"{record.cell}, {name}, lag {lag:g}: {format_power(v)}" for lag, v in known])
    median = axis.plot(lags, middle, color=cycle_color(1), linewidth=1, marker="_", markersize=3, label="median σ of ∂s/∂s")
    rows = zip(lags, *(map(format_power, values) for values in (middle, least, most)), strict=True)
    set_titles(median, [f"{record.cell}, lag {k:g}: median σ {m}, from {a} to {b}" for k, m, a, b in rows])

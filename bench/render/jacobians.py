"""Jacobians in a report: the growth of their mean square with lag, and their spectra."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bench.records import JacobianRecord, Spectrum
from bench.render.gradients import named
from bench.render.markdown import table
from bench.render.plots import COLOURS, MARKERS, PANELS_ACROSS, POWER, STYLE, bottom, save
from bench.render.words import NONE, power, two_grus
from bench.spread import spread

CAPTION = (
    "Singular values σ of ∂s_T/∂s_{T-k}, s all states of a cell, and of ∂h_T/∂x_{T-k}, along a sequence of standard normal inputs. Nats "
    "per step: the least-squares slope of ln √(mean σ²) over lag, ± half the width of its 95% interval over seeds (Student's t)."
)
ROUNDING = 1e-14
"""Singular values below this share of the largest are rounding errors of float64, and not drawn."""


def growth(lags: Sequence[int], found: Spectrum) -> float | None:
    """Nats per step of √(mean σ²), from lag 1 on: at lag 0 nothing has travelled yet."""
    known = [(k, 0.5 * math.log(v)) for k, v in zip(lags, found.mean_square, strict=False) if k and 0 < v < math.inf]
    return float(np.polyfit([k for k, _ in known], [v for _, v in known], 1)[0]) if len(known) > 1 else None


def grouped(records: Sequence[JacobianRecord]) -> dict[tuple[str, str], list[JacobianRecord]]:
    found: dict[tuple[str, str], list[JacobianRecord]] = {}
    for record in sorted(records, key=lambda r: (r.cell, r.init, r.seed)):
        found.setdefault((record.cell, record.init), []).append(record)
    return found


def section(records: Sequence[JacobianRecord]) -> list[str]:
    if not records:
        return []
    first = records[0]
    rows = []
    for (cell, init), group in grouped(records).items():
        slopes = [[v for r in group if (v := growth(r.lags, part(r))) is not None] for part in (state, input)]
        last = group[0].state.values[-1] if group[0].state.values else []
        ends = [power(last[0]), power(float(np.median(last)))] if last else [NONE, NONE]
        size = power(math.sqrt(group[0].state.mean_square[-1]))
        rows.append([cell, init, *(named(spread(found)) if found else NONE for found in slopes), size, *ends])
    headers = (
        "cell",
        "initialisation",
        "of ∂s/∂s, nats per step",
        "of ∂h/∂x",
        f"√(mean σ²) at lag {first.lags[-1]}",
        "largest σ",
        "median σ",
    )
    sizes = f"T={first.T} D={first.D} H={first.H}, {first.dtype}, seeds {', '.join(map(str, sorted({r.seed for r in records})))}."
    sampled = " Mean squares are estimates from random vectors." if any(r.probes for r in records) else ""
    caption = f"{CAPTION} {sizes}{sampled} {two_grus(r.cell for r in records)}".strip()
    return ["## Jacobians", caption, table(headers, rows, left=2)]


def state(record: JacobianRecord) -> Spectrum:
    return record.state


def input(record: JacobianRecord) -> Spectrum:
    return record.input


def draw(records: Sequence[JacobianRecord], folder: Path) -> list[Path]:
    """jacobians.svg: all singular values of the state's Jacobian over lag, a panel for each cell and initialisation."""
    shown = {key: group[0] for key, group in grouped(records).items() if any(group[0].state.values)}
    if not shown:
        return []
    across = min(PANELS_ACROSS, len(shown))
    down = -(-len(shown) // across)
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(max(3 * across, 6), 2.3 * down + 1), linewidth=1.5, layout="constrained")
        axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for axis, ((cell, init), record) in zip(axes.flat, shown.items(), strict=False):
            for i, (lag, values) in enumerate(zip(record.lags, record.state.values, strict=True)):
                kept = [v for v in values if v > ROUNDING * values[0]]
                axis.plot([max(lag, 0.5)] * len(kept), kept, ".", color=COLOURS[1], alpha=0.35, markersize=2, label="σ" if i == 0 else None)
            middle = [math.sqrt(v) for v in record.state.mean_square]
            axis.plot([max(k, 0.5) for k in record.lags], middle, color=COLOURS[2], marker=MARKERS[0], label="√(mean σ²)")
            axis.set(title=cell if init == "default" else f"{cell}, {init}", xscale="log", yscale="log")
            axis.xaxis.set_major_formatter("{x:g}")
            axis.yaxis.set_major_formatter(POWER)
            axis.minorticks_off()
        bottom(axes, len(shown), "lag k (0 at the left edge)")
        figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
        first = next(iter(shown.values()))
        return [
            save(figure, f"Singular values of ∂s_T/∂s_(T-k) over lag, T={first.T} H={first.H}, seed {first.seed}", folder / "jacobians.svg")
        ]

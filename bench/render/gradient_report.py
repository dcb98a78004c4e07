"""Gradient norms in a report: how fast they change with lag, what is left at the start, and where 16 bit loses them."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import SMALLEST, growth_rate, is_representable
from bench.records import GradientRecord
from bench.render.formatting import format_count, format_power
from bench.render.plots import STYLE, cell_style, color, decades, legend, new_figure, save, set_titles
from bench.render.svg import MUTED
from bench.render.table import Column, Table

LOST = 0.5
"""A gradient off by more than half of itself is called lost."""

METHOD = """\
- Gradient norms are those of ∂L/∂s along standard normal inputs, s all states of a cell, s₀ those it starts from. Nats per step: the
  least-squares slope of the norm's logarithm over lag, at the longest T, down to the smallest normal number of the dtype, with the 95%
  interval of its mean over seeds (Student's t): below 0 the gradient vanishes, above it explodes. Norms over several seeds are their
  geometric mean. In "over lag", █ is the largest norm of the table, ▁ the smallest or eight decades below, · zero.
- The error of a gradient against float64 is the distance of the gradient of the states from that of the same numbers in float64, over the
  latter's norm, at the longest T: the median over seeds. A gradient underflows where a dtype has no normal number as small as its norm."""
BLOCKS = "▁▂▃▄▅▆▇█"
DECADES = 8
POINTS = 14
ENDLESS = 10.0
"""Errors beyond are not drawn: of the gradient nothing is left."""
SHOWN = (1, 16, 128)
"""Lags whose errors are in the table, where they are known."""
LOOKS = {"": "-", "dotted": ":", "dashed": "--", "dash-dotted": "-."}
"""Of the dtypes, as they come."""
EACH = 64
"""Up to so many steps a picture's lags are evenly spaced."""
Key = tuple[str, str, str]


def group_gradients(records: Sequence[GradientRecord]) -> dict[Key, dict[int, list[GradientRecord]]]:
    """By cell, dtype and initialisation, then by T from the shortest: a record for each seed."""
    found: dict[Key, dict[int, list[GradientRecord]]] = {}
    for record in sorted(records, key=lambda r: r.T):
        found.setdefault((record.cell, record.dtype, record.init), {}).setdefault(record.T, []).append(record)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def gradient_tables(records: Sequence[GradientRecord]) -> list[Table]:
    """List the tables: how gradients change with lag, the gradient of every trainable parameter, and where each dtype loses the
    gradient."""
    if not records:
        return []
    first = records[0]
    seeds = sorted({record.seed for record in records})
    same = {(record.dtype, record.init) for record in records} == {(first.dtype, first.init)}
    start = "At initialisation, " if first.init == "default" and same else ""
    setting = f"{first.dtype}, " if same else ""
    caption = (
        f"{start}B={first.B} D={first.D} H={first.H}, {setting}seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}. "
        f"{first.loss}."
    )
    found = [flow_table(records, same, caption), parameter_norms(records, same), lost_table(records)]
    return [table for table in found if table.rows]


def key_columns(same: bool) -> list[Column]:
    return [Column(name, name, words=True) for name in (("cell",) if same else ("cell", "dtype", "initialisation"))]


def row_key(key: Key, same: bool) -> list[str]:
    return [key[0]] if same else list(key)


def flow_table(records: Sequence[GradientRecord], same: bool, caption: str) -> Table:
    """For each cell: how fast the norm of a state's gradient changes with lag at the longest T, and what is left of it at the start."""
    lengths = sorted({record.T for record in records})
    groups = group_gradients(records)
    low, high = span_norms([norm for found in groups.values() for norm in found[max(found)][0].by_lag])
    rows = []
    for key, found in groups.items():
        longest, smallest = found[max(found)], SMALLEST.get(key[1], 0.0)
        slopes = [value for value in map(growth_rate, longest) if value is not None]
        at_start = [mean_norm([r.by_lag[-1] for r in found[T] if r.by_lag], smallest) if T in found else "not run" for T in lengths]
        entries = sum(record.non_finite for group in found.values() for record in group)
        rows.append([*row_key(key, same), sparkline(longest[0], low, high), mean_ci(slopes) if slopes else "unknown", *at_start, entries])
    columns = [
        *key_columns(same), Column("over lag", words=True), Column("nats per step", "growth", "nats_per_step", name_growth),
        *(Column(f"‖∂L/∂s₀‖ at T={T}", "norm_at_start", "", format_power, at=str(T)) for T in lengths),
        Column("NaN or Inf entries", "non_finite", "", format_count),
    ]  # fmt: skip
    return Table("Gradient norms", columns, rows, caption, across="T")


def span_norms(norms: Sequence[float]) -> tuple[float, float]:
    """The scale of the sparklines: from the smallest norm to the largest, and at most eight decades."""
    positive = [norm for norm in norms if 0 < norm < np.inf] or [1.0]
    return max(min(positive), max(positive) * 10.0**-DECADES), max(positive)


def sparkline(record: GradientRecord, low: float, high: float) -> str:
    """Norms at even lags as a row of blocks whose height is their logarithm."""
    norms, lags = record.by_lag, record.steps
    if not norms:
        return "none"
    chosen = np.searchsorted(lags, np.linspace(0, lags[-1], min(POINTS, len(norms))).round())
    room = np.log(high / low) or 1.0
    heights = (len(BLOCKS) - 1) * np.log(np.clip(np.take(norms, chosen), low, high) / low) / room
    return "".join(BLOCKS[round(h)] if norms[k] > 0 else "·" for h, k in zip(heights, chosen, strict=True))


def name_growth(found: Estimate) -> str:
    """A growth with its interval over several seeds, and what it is called."""
    name = ("vanishing", "neither", "exploding")[found.sign + 1] if found.n > 1 else ""
    return ", ".join(filter(None, (format_growth(found), name)))


def format_growth(found: Estimate) -> str:
    return f"{found.value:+.4f}" + (f" ± {found.half:.4f}" if found.n > 1 else "")


def mean_norm(values: Sequence[float], smallest: float = 0.0) -> float | str | None:
    """The geometric mean; what has no `smallest` number is below it."""
    if not values:
        return None
    if 0 < max(values) < smallest:
        return f"below {format_power(smallest)}"
    return float(np.exp(np.mean(np.log(values)))) if min(values) > 0 else 0.0


def parameter_norms(records: Sequence[GradientRecord], same: bool) -> Table:
    """Norms of the gradients of all trainable parameters."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in group_gradients(records).items():
        for name in dict.fromkeys(name for group in found.values() for record in group for name in record.parameters):
            norms = {T: [r.parameters[name] for r in group if name in r.parameters] for T, group in found.items()}
            rows.append([*row_key(key, same), name, *(mean_norm(norms.get(T, [])) for T in lengths)])
    columns = [
        *key_columns(same),
        Column("of", "parameter", words=True),
        *(Column(f"T={T}", "norm", "", format_power, at=str(T)) for T in lengths),
    ]
    return Table("Gradient norm of every trainable parameter", columns, rows, across="T", level=0)


def lost_table(records: Sequence[GradientRecord]) -> Table:
    """Where each dtype loses the gradient, of the records that were compared with float64."""
    compared = [record for record in records if record.errors]
    T, rows = max((record.T for record in compared), default=0), []
    longest = {key: found[T] for key, found in group_gradients(compared).items() if T in found}
    shown = sorted({k for group in longest.values() for k in group[0].steps if k in SHOWN and k < T})
    for key, group in longest.items():
        middles = dict(zip(group[0].steps, median_errors(group), strict=False))
        gone = next((k for k, value in middles.items() if not value <= LOST), None)
        norms = zip(middles, *(r.by_lag for r in group), strict=False)
        under = next((k for k, *found in norms if not any(is_representable(key[1], v) for v in found)), None)
        errors = [error_of(middles.get(k)) for k in (*shown, group[0].steps[-1])]
        rows.append([*key, group[0].backend, *errors, gone, under])
    headers = {**{f"error_at_lag_{k}": f"error at lag {k}" for k in shown}, "error_at_start": "at the start"}
    columns = [
        *key_columns(False), Column("backend", "backend", words=True),
        *(Column(header, name, "", format_power) for name, header in headers.items()),
        Column(f"lost (over {LOST:.0%}) from lag", "lost_from_lag", "", format_count),
        Column("underflows from lag", "underflows_from_lag", "", format_count),
    ]  # fmt: skip
    return Table("Against float64", columns, rows, level=3)


def median_errors(group: Sequence[GradientRecord]) -> list[float]:
    """The median error over seeds, at every lag."""
    return [sorted(values)[len(values) // 2] for values in zip(*(record.errors for record in group), strict=False)]


def error_of(value: float | None) -> float | str | None:
    return "infinite" if value and not math.isfinite(value) else value or None


def draw(records: Sequence[GradientRecord], folder: Path) -> list[Path]:
    """Write gradients.svg: above the norm over lag at the longest T, down to what the dtype can tell, below its error against float64; a
    column for each initialisation, a line for each cell and dtype: norms of the first seed, errors the median over seeds."""
    T = max((record.T for record in records), default=0)
    kept = {key: found[T] for key, found in group_gradients(records).items() if T in found and any(found[T][0].by_lag)}
    if not kept:
        return []
    cells, dtypes, inits = (list(dict.fromkeys(names)) for names in zip(*kept, strict=True))
    compared = any(group[0].errors for group in kept.values())
    with matplotlib.rc_context(STYLE):
        figure = new_figure(2 + 5 * len(inits), 6.4 if compared else 4.2)
        axes = figure.subplots(1 + compared, len(inits), sharex=True, sharey="row", squeeze=False)
        for (cell, dtype, init), group in kept.items():
            above, below = axes[0, inits.index(init)], axes[-1, inits.index(init)]
            place, first, name = (cells.index(cell), dtypes.index(dtype)), group[0], f"{cell}, {init}, {dtype}"
            norms = [(k, v) for k, v in zip(first.steps, first.by_lag, strict=False) if is_representable(dtype, v)]
            line(above, norms, place, T > EACH, name, cell)
            if first.errors:
                line(
                    below,
                    [(k, v) for k, v in zip(first.steps, median_errors(group), strict=False) if 0 < v < ENDLESS],
                    place,
                    T > EACH,
                    name,
                )
        for init, column in zip(inits, axes.T, strict=True):
            column[0].set_title("" if inits == ["default"] else init)
            column[-1].set_xlabel("lag k: steps back from the last" + (" (0 at the left edge)" if T > EACH else ""))
        for axis in axes.flat:
            axis.set(yscale="log", xscale="log" if T > EACH else "linear")
            decades(axis)
        axes[0, 0].set_ylabel("mean over sequences of ‖∂L/∂s‖ at T - k")
        if compared:
            axes[1, 0].set_ylabel("error against float64")
            for axis in axes[1]:
                axis.axhline(LOST, color=MUTED, linewidth=1)
        legend(figure, axes[0])
        others = "".join(f", {look} {dtype}" for look, dtype in zip([*LOOKS][1:], dtypes[1:], strict=False))
        types, error = f" in {dtypes[0]}{others}" if others else "", "; below, its error, lost above the grey line" if compared else ""
        return [save(figure, f"Gradient norm over lag, T={T}{types}{error}. {records[0].loss}", folder / "gradients.svg")]


def line(axis: Axes, known: Sequence[tuple[int, float]], place: tuple[int, int], far: bool, name: str, label: str = "_") -> None:
    """Draw values over lag; the first dtype's line has a few marks.

    Args:
        place: Which cell and which dtype it is.
        far: Whether the scale of lags is logarithmic.
        name: What the titles of its marks begin with.
    """
    cell, dtype = place
    apart = max(1, len(known) // 12)
    marks = {} if dtype else {"marker": cell_style(cell)["marker"], "markevery": (cell % apart, apart)}
    shown = axis.plot(
        [max(lag, 0.5) if far else lag for lag, _ in known], [v for _, v in known],
        color=color(cell), linestyle=list(LOOKS.values())[dtype % len(LOOKS)], label="_" if dtype else label, **marks,
    )  # fmt: skip
    titles = [f"{name}, lag {lag}: {format_power(v)}" for lag, v in known[cell % apart :: apart]]
    set_titles(shown, titles if not dtype else [f"{name}, lag {lag}: {format_power(v)}" for lag, v in known[-1:]])

"""Renders gradient norms: their growth over lag, the gradient of every parameter, and where 16-bit dtypes lose the gradient."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import SMALLEST, fit_growth, is_representable
from bench.records import GradientRecord
from bench.render.formatting import format_count, format_power, list_seeds
from bench.render.plots import cell_style, cycle_color, draw_rule, label_decades, new_figure, save_figure, set_titles, styled
from bench.render.start_table import make_start_table
from bench.render.svg import MUTED
from bench.render.table import BACKEND, CELL, INIT, Column, Table, make_word_column

LOST = 0.5
"""A gradient counts as lost if its error exceeds this share of its norm."""

ANALYSIS = """\
- Nats per step: the least-squares slope of the norm's logarithm over lag, at the longest T, down to the smallest normal number of the
  dtype, with the 95% interval of its mean over seeds (Student's t). The gradient vanishes where it is below 0 and explodes where it is
  above. Norms over several seeds are geometric means. In "over lag", █ is the largest norm of the table, ▁ the smallest one or eight
  decades less, · zero. Errors are medians over seeds at the longest T. A gradient underflows where its norm is below the smallest normal
  number of the dtype."""
BLOCKS = "▁▂▃▄▅▆▇█"
DECADES = 8
POINTS = 14
ENDLESS = 10.0
"""Errors above are not drawn, because nothing of the gradient is left."""
SHOWN = (1, 16, 128)
"""The lags whose errors the table shows, if they are known."""
LOOKS = {"": "-", "dotted": ":", "dashed": "--", "dash-dotted": "-."}
"""The line styles of the dtypes, in order."""
Key = tuple[str, str, str]


def group_gradients(records: Sequence[GradientRecord]) -> dict[Key, dict[int, list[GradientRecord]]]:
    """Groups records by cell, dtype and initialisation, then by T from the shortest; one record per seed."""
    found: dict[Key, dict[int, list[GradientRecord]]] = {}
    for record in sorted(records, key=lambda r: r.T):
        found.setdefault((record.cell, record.dtype, record.init), {}).setdefault(record.T, []).append(record)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def make_tables(records: Sequence[GradientRecord]) -> list[Table]:
    """Returns the tables of gradient norms, of every trainable parameter, and of the error of each dtype; [] without records."""
    if not records:
        return []
    first = records[0]
    seeds = list_seeds({record.seed for record in records})
    same = {(record.dtype, record.init) for record in records} == {(first.dtype, first.init)}
    start = "At initialisation, " if first.init == "default" and same else ""
    setting = f"{first.dtype}, " if same else ""
    caption = f"{start}B={first.B} D={first.D} H={first.H}, {setting}{seeds}. {first.loss}."
    starts = make_start_table("Growth of gradients by start", list_slopes(records), format_growth)
    found = [make_flow_table(records, same, caption), starts, make_parameter_table(records, same), make_error_table(records)]
    return [table for table in found if table.rows]


def list_slopes(records: Sequence[GradientRecord]) -> dict[tuple[str, str], list[float | None]]:
    """Returns the slope over lag of every seed by cell and initialisation, at the longest T and in the dtype with the most digits."""
    groups, T = group_gradients(records), max((record.T for record in records), default=0)
    kinds = [kind for _, kind, _ in groups]
    best = next((kind for kind in ("float64", "float32", *kinds) if kind in kinds), "")
    return {(cell, init): [*map(fit_growth, found[T])] for (cell, kind, init), found in groups.items() if kind == best and T in found}


def make_key_columns(same: bool) -> list[Column]:
    return [CELL] if same else [CELL, make_word_column("dtype"), INIT]


def list_key(key: Key, same: bool) -> list[str]:
    return [key[0]] if same else list(key)


def make_flow_table(records: Sequence[GradientRecord], same: bool, caption: str) -> Table:
    """Returns the table of how the norm of a state's gradient changes with lag at the longest T, and of the gradient of the initial
    states."""
    lengths = sorted({record.T for record in records})
    groups = group_gradients(records)
    low, high = span_norms([norm for found in groups.values() for norm in found[max(found)][0].by_lag])
    rows = []
    for key, found in groups.items():
        longest, smallest = found[max(found)], SMALLEST.get(key[1], 0.0)
        slopes = [value for value in map(fit_growth, longest) if value is not None]
        at_start = [average_norms([r.by_lag[-1] for r in found[T] if r.by_lag], smallest) if T in found else "not run" for T in lengths]
        entries = sum(record.non_finite for group in found.values() for record in group)
        rows.append(
            [*list_key(key, same), draw_sparkline(longest[0], low, high), mean_ci(slopes) if slopes else "unknown", *at_start, entries]
        )
    columns = [
        *make_key_columns(same), Column("over lag", words=True), Column("nats per step", "growth", "nats_per_step", name_growth),
        *(Column(f"‖∂L/∂s₀‖ at T={T}", "norm_at_start", "", format_power, at=str(T)) for T in lengths),
        Column("NaN or Inf entries", "non_finite", "", format_count),
    ]  # fmt: skip
    return Table("Gradient norms", columns, rows, caption, across="T")


def span_norms(norms: Sequence[float]) -> tuple[float, float]:
    """Returns the smallest and the largest norm of the sparklines, at most eight decades apart."""
    positive = [norm for norm in norms if 0 < norm < np.inf] or [1.0]
    return max(min(positive), max(positive) * 10.0**-DECADES), max(positive)


def draw_sparkline(record: GradientRecord, low: float, high: float) -> str:
    """Returns norms at even lags as blocks whose height is their logarithm."""
    norms, lags = record.by_lag, record.steps
    if not norms:
        return "none"
    chosen = np.searchsorted(lags, np.linspace(0, lags[-1], min(POINTS, len(norms))).round())
    room = np.log(high / low) or 1.0
    heights = (len(BLOCKS) - 1) * np.log(np.clip(np.take(norms, chosen), low, high) / low) / room
    return "".join(BLOCKS[round(h)] if norms[k] > 0 else "·" for h, k in zip(heights, chosen, strict=True))


def name_growth(found: Estimate) -> str:
    """Returns a growth with its interval over several seeds, and whether it is vanishing or exploding."""
    name = ("vanishing", "neither", "exploding")[found.sign + 1] if found.n > 1 else ""
    return ", ".join(filter(None, (format_growth(found), name)))


def format_growth(found: Estimate) -> str:
    """Returns a growth, ± half its 95% interval over several seeds."""
    return f"{found.value:+.4f}" + (f" ± {found.half_width:.4f}" if found.n > 1 else "")


def average_norms(values: Sequence[float], smallest: float = 0.0) -> float | str | None:
    """Returns the geometric mean, or a text if all norms are below `smallest`, the smallest normal number."""
    if not values:
        return None
    if 0 < max(values) < smallest:
        return f"below {format_power(smallest)}"
    return float(np.exp(np.mean(np.log(values)))) if min(values) > 0 else 0.0


def make_parameter_table(records: Sequence[GradientRecord], same: bool) -> Table:
    """Returns the table of the gradient norms of all trainable parameters."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in group_gradients(records).items():
        for name in dict.fromkeys(name for group in found.values() for record in group for name in record.parameters):
            norms = {T: [r.parameters[name] for r in group if name in r.parameters] for T, group in found.items()}
            rows.append([*list_key(key, same), name, *(average_norms(norms.get(T, [])) for T in lengths)])
    norms_at = (Column(f"T={T}", "norm", "", format_power, at=str(T)) for T in lengths)
    columns = [*make_key_columns(same), make_word_column("parameter"), *norms_at]
    return Table("Gradient norm of every trainable parameter", columns, rows, across="T", level=0)


def make_error_table(records: Sequence[GradientRecord]) -> Table:
    """Returns the table of where each dtype loses the gradient, for records with errors against float64."""
    compared = [record for record in records if record.errors]
    T, rows = max((record.T for record in compared), default=0), []
    longest = {key: found[T] for key, found in group_gradients(compared).items() if T in found}
    shown = sorted({k for group in longest.values() for k in group[0].steps if k in SHOWN and k < T})
    for key, group in longest.items():
        middles = dict(zip(group[0].steps, find_median_errors(group), strict=False))
        gone = next((k for k, value in middles.items() if not value <= LOST), None)
        norms = zip(middles, *(r.by_lag for r in group), strict=False)
        under = next((k for k, *found in norms if not any(is_representable(key[1], v) for v in found)), None)
        errors = [format_error(middles.get(k)) for k in (*shown, group[0].steps[-1])]
        rows.append([*key, group[0].backend, *errors, gone, under])
    headers = {**{f"error_at_lag_{k}": f"error at lag {k}" for k in shown}, "error_at_start": "error at the start"}
    columns = [
        *make_key_columns(False), BACKEND,
        *(Column(header, name, "", format_power) for name, header in headers.items()),
        Column(f"lost (over {LOST:.0%}) from lag", "lost_from_lag", "", format_count),
        Column("underflows from lag", "underflows_from_lag", "", format_count),
    ]  # fmt: skip
    return Table("Error against float64", columns, rows, level=3)


def find_median_errors(group: Sequence[GradientRecord]) -> list[float]:
    """Returns the median error over seeds at every lag."""
    return [sorted(values)[len(values) // 2] for values in zip(*(record.errors for record in group), strict=False)]


def format_error(value: float | None) -> float | str | None:
    return "infinite" if value and not math.isfinite(value) else value or None


@styled
def draw(records: Sequence[GradientRecord], folder: Path) -> list[Path]:
    """Draws gradients.svg into a folder: a column per initialisation, a line per cell and dtype, at the longest T.

    The upper row has the norm over lag of the first seed, down to the smallest normal number. The lower row has the median error against
    float64.

    Returns:
        The path of the plot, or [].
    """
    T = max((record.T for record in records), default=0)
    kept = {key: found[T] for key, found in group_gradients(records).items() if T in found and any(found[T][0].by_lag)}
    if not kept:
        return []
    cells, dtypes, inits = (list(dict.fromkeys(names)) for names in zip(*kept, strict=True))
    compared = any(group[0].errors for group in kept.values())
    figure = new_figure(2 + 5 * len(inits), 6.4 if compared else 4.2)
    axes = figure.subplots(1 + compared, len(inits), sharex=True, sharey="row", squeeze=False)
    for (cell, dtype, init), group in kept.items():
        above, below = axes[0, inits.index(init)], axes[-1, inits.index(init)]
        place, first, name = (cells.index(cell), dtypes.index(dtype)), group[0], f"{cell}, {init}, {dtype}"
        norms = [(k, v) for k, v in zip(first.steps, first.by_lag, strict=False) if is_representable(dtype, v)]
        draw_line(above, norms, place, name, cell)
        if first.errors:
            errors = zip(first.steps, find_median_errors(group), strict=False)
            draw_line(below, [(k, v) for k, v in errors if 0 < v < ENDLESS], place, name)
    for init, column in zip(inits, axes.T, strict=True):
        column[0].set_title("" if inits == ["default"] else init)
        column[-1].set_xlabel("lag k: steps back from the last")
    for axis in axes.flat:
        axis.set_yscale("log")
        label_decades(axis)
    axes[0, 0].set_ylabel("mean over sequences of ‖∂L/∂s‖ at T - k")
    if compared:
        axes[1, 0].set_ylabel("error against float64")
        for axis in axes[1]:
            draw_rule(axis, LOST, "all digits lost above")
    for dtype, look in zip(dtypes, LOOKS.values(), strict=False) if len(dtypes) > 1 else ():
        axes[0, 0].plot([], [], color=MUTED, linestyle=look, label=dtype)
    others = "".join(f", {look} {dtype}" for look, dtype in zip([*LOOKS][1:], dtypes[1:], strict=False))
    types, error = f" in {dtypes[0]}{others}" if others else "", "; below, its error, lost above the dotted line" if compared else ""
    return [save_figure(figure, f"Gradient norm over lag, T={T}{types}{error}. {records[0].loss}", folder / "gradients.svg", axes[0])]


def draw_line(axis: Axes, known: Sequence[tuple[int, float]], place: tuple[int, int], name: str, label: str = "_") -> None:
    """Draws values over lag. Only the line of the first dtype has marks.

    Args:
        axis: The axis.
        known: Pairs of lag and value.
        place: The indices of the cell and of the dtype.
        name: The start of the titles of its marks.
        label: Its name in the legend.
    """
    cell, dtype = place
    apart = max(1, len(known) // 12)
    marks = {} if dtype else {"marker": cell_style(cell)["marker"], "markevery": (cell % apart, apart)}
    shown = axis.plot(
        [lag for lag, _ in known], [v for _, v in known],
        color=cycle_color(cell), linestyle=list(LOOKS.values())[dtype % len(LOOKS)], label="_" if dtype else label, **marks,
    )  # fmt: skip
    marked = known[-1:] if dtype else known[cell % apart :: apart]
    set_titles(shown, [f"{name}, lag {lag}: {format_power(v)}" for lag, v in marked])

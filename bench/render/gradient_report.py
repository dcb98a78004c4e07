"""Gradient norms in a report: how fast they change with lag, what is left at the start, and where 16 bit loses them."""

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from bench.analysis.mean_ci import Spread, spread
from bench.analysis.summary import SMALLEST, rate, told
from bench.records import GradientRecord
from bench.render.formatting import NONE, power, two_grus
from bench.render.markdown import folded, table, text
from bench.render.plots import STYLE, cell_style, color, decades, legend, new_figure, save, set_titles
from bench.render.svg import MUTED

LOST = 0.5
"""A gradient off by more than half of itself is called lost."""

METHOD = (
    "Norms of ∂L/∂s along standard normal inputs, s all states of a cell; s₀ those it starts from. Nats per step: the least-squares slope "
    "of the norm's logarithm over lag, at the longest T, down to the smallest normal number of the dtype"
)
SEEDS = (
    ", ± half the width of its 95% interval over seeds (Student's t): below 0 the gradient vanishes, above it explodes. Norms over several "
    "seeds are their geometric mean"
)
ENDLESS = 10.0
"""Errors beyond are not drawn: of the gradient nothing is left."""
SHOWN = (1, 16, 128)
"""Lags whose errors are in the table, where they are known."""
LOOKS = {"": "-", "dotted": ":", "dashed": "--", "dash-dotted": "-."}
"""Of the dtypes, as they come."""
EACH = 64
"""Up to so many steps a picture's lags are evenly spaced."""
Key = tuple[str, str, str]


def grouped(records: Sequence[GradientRecord]) -> dict[Key, dict[int, list[GradientRecord]]]:
    """By cell, dtype and initialisation, then by T from the shortest: a record for each seed."""
    found: dict[Key, dict[int, list[GradientRecord]]] = {}
    for record in sorted(records, key=lambda r: r.T):
        found.setdefault((record.cell, record.dtype, record.init), {}).setdefault(record.T, []).append(record)
    return dict(sorted(found.items(), key=lambda item: item[0][0]))


def section(records: Sequence[GradientRecord]) -> list[str]:
    if not records:
        return []
    first = records[0]
    seeds = sorted({record.seed for record in records})
    same = {(record.dtype, record.init) for record in records} == {(first.dtype, first.init)}
    setting = f"{first.dtype}, " if same else ""
    start = "At initialisation, " if first.init == "default" and same else ""
    caption = (
        f"{start}B={first.B} D={first.D} H={first.H}, {setting}seed{'' if len(seeds) == 1 else 's'} {', '.join(map(str, seeds))}. "
        f"{text(first.loss)}. {METHOD}{SEEDS if len(seeds) > 1 else ''}. {two_grus(record.cell for record in records)}"
    )
    return [
        "## Gradient norms", caption.strip(), flow(records, same),
        folded("Gradient norm of every learned value", parameters(records, same)),
        *lost(records),
    ]  # fmt: skip


def names(key: Key, same: bool) -> list[str]:
    return [key[0]] if same else list(key)


def flow(records: Sequence[GradientRecord], same: bool) -> str:
    """For each cell: how fast the norm of a state's gradient changes with lag at the longest T, and what is left of it at the start."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in grouped(records).items():
        at_start = [norm([r.by_lag[-1] for r in found[T] if r.by_lag], SMALLEST.get(key[1], 0.0)) if T in found else NONE for T in lengths]
        entries = sum(record.non_finite for group in found.values() for record in group)
        rows.append([*names(key, same), slope(found[max(found)]), *at_start, f"{entries:,}"])
    headers = ["cell"] if same else ["cell", "dtype", "initialisation"]
    wanted = [*headers, "nats per step", *(f"‖∂L/∂s₀‖ at T={T}" for T in lengths), "entries not finite"]
    return table(wanted, rows, left=len(headers))


def slope(records: Sequence[GradientRecord]) -> str:
    """Nats per step; of several seeds with its interval, and its name."""
    known = [value for value in map(rate, records) if value is not None]
    return named(spread(known)) if known else "unknown"


def named(found: Spread) -> str:
    return ", ".join(filter(None, (rated(found), word(found))))


def rated(found: Spread) -> str:
    return f"{found.mean:+.4f}" + (f" ± {found.half:.4f}" if found.n > 1 else "")


def word(found: Spread) -> str:
    if found.n < 2:
        return ""
    return ("vanishing", "neither", "exploding")[found.sign + 1]


def norm(values: Iterable[float], smallest: float = 0.0) -> str:
    """The geometric mean; what has no `smallest` number is below it."""
    found = list(values)
    if not found:
        return NONE
    if 0 < max(found) < smallest:
        return f"below {power(smallest)}"
    return power(float(np.exp(np.mean(np.log(found))))) if min(found) > 0 else power(0.0)


def parameters(records: Sequence[GradientRecord], same: bool) -> str:
    """Of the gradient of every learned value."""
    lengths = sorted({record.T for record in records})
    rows = []
    for key, found in grouped(records).items():
        for name in dict.fromkeys(name for group in found.values() for record in group for name in record.parameters):
            norms = {T: [r.parameters[name] for r in group if name in r.parameters] for T, group in found.items()}
            rows.append([*names(key, same), name, *(norm(norms.get(T, [])) for T in lengths)])
    headers = ["cell"] if same else ["cell", "dtype", "initialisation"]
    return table([*headers, "of", *(f"T={T}" for T in lengths)], rows, left=len(headers) + 1)


def lost(records: Sequence[GradientRecord]) -> list[str]:
    """Where each dtype loses the gradient, of the records that were compared with float64."""
    compared = [record for record in records if record.errors]
    if not compared:
        return []
    T, rows = max(record.T for record in compared), []
    longest = {key: found[T] for key, found in grouped(compared).items() if T in found}
    shown = sorted({k for group in longest.values() for k in group[0].steps if k in SHOWN and k < T})
    for key, group in longest.items():
        middles = dict(zip(group[0].steps, middle(group), strict=False))
        gone = next((k for k, value in middles.items() if not value <= LOST), None)
        under = next(
            (k for k, *norms in zip(middles, *(r.by_lag for r in group), strict=False) if not any(told(key[1], v) for v in norms)), None
        )
        errors = [error(middles.get(k)) for k in (*shown, group[0].steps[-1])]
        rows.append([*key, group[0].backend, *errors, *(NONE if k is None else f"{k:,}" for k in (gone, under))])
    headers = (
        "cell", "dtype", "initialisation", "backend", *(f"error at lag {k}" for k in shown), "at the start",
        f"lost (over {LOST:.0%}) from lag", "underflows from lag",
    )  # fmt: skip
    caption = (
        "The distance of the gradient of the states from that of the same numbers in float64, over the latter's norm, at the longest T; "
        "the median over seeds, – where there is none. Where a dtype has no normal number as small as the norm, it underflows."
    )
    return ["### Against float64", caption, table(headers, rows, left=4)]


def middle(group: Sequence[GradientRecord]) -> list[float]:
    """The median error over seeds, at every lag."""
    return [sorted(values)[len(values) // 2] for values in zip(*(record.errors for record in group), strict=False)]


def error(value: float | None) -> str:
    return NONE if not value else power(value) if math.isfinite(value) else "infinite"


def draw(records: Sequence[GradientRecord], folder: Path) -> list[Path]:
    """Write gradients.svg: above the norm over lag at the longest T, down to what the dtype can tell, below its error against float64; a
    column for each initialisation, a line for each cell and dtype: norms of the first seed, errors the median over seeds."""
    T = max((record.T for record in records), default=0)
    kept = {key: found[T] for key, found in grouped(records).items() if T in found and any(found[T][0].by_lag)}
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
            norms = [(k, v) for k, v in zip(first.steps, first.by_lag, strict=False) if told(dtype, v)]
            line(above, norms, place, T > EACH, name, cell)
            if first.errors:
                line(below, [(k, v) for k, v in zip(first.steps, middle(group), strict=False) if 0 < v < ENDLESS], place, T > EACH, name)
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
    titles = [f"{name}, lag {lag}: {power(v)}" for lag, v in known[cell % apart :: apart]]
    set_titles(shown, titles if not dtype else [f"{name}, lag {lag}: {power(v)}" for lag, v in known[-1:]])

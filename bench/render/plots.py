"""A run as SVG plots: the same bytes from the same records. Colours are told apart by colour-blind eyes: those of Okabe and Ito (2008),
and two of Tol's."""

import textwrap
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import matplotlib
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator

from bench.analysis.summary import timesteps_per_second
from bench.records import CaseRecord, Records
from bench.records.backend_table import COLOURS as BACKEND_COLOURS
from bench.records.backend_table import LOW, MARKS, choose_look
from bench.render.case_grid import ORDER, Grid, build_grids
from bench.render.formatting import MIB, describe_size

COLOURS, MARKERS = BACKEND_COLOURS, MARKS[1:]
"""Colours and marks of what is no backend, as cells."""

PANELS_ACROSS = 4
POWER = "{x:.0e}"
"""How a scale over decades is labelled: 1e-05."""
LETTERS = 12
"""Of a title, in an inch."""
DARK = {"#ffffff": "#0d1117", "#000000": "#e6edf3", "#e6e6e6": "#30363d", "#0072b2": "#3b8ddb", "#808080": "#8b949e"}
"""What the colours become where a page is dark; all others can be told from both grounds."""

STYLE: Any = {
    "svg.hashsalt": "bench", "font.family": "DejaVu Sans", "font.size": 9.0, "axes.titlesize": 10.0, "figure.facecolor": "white",
    "figure.edgecolor": "0.6", "axes.facecolor": "white", "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True,
    "grid.color": "0.9", "lines.markersize": 4.5, "lines.linewidth": 1.5, "legend.frameon": False,
    "text.parse_math": False,
}  # fmt: skip


def draw(records: Records, folder: Path) -> list[Path]:
    """Write the plots that there is something to draw in: throughput.svg and memory.svg, of runs of one size."""
    training = [
        g for g in build_grids(records.cases) if g.common.mode == "training" and g.common.input_product and not g.has_several_sizes
    ][:1]
    written = []
    with matplotlib.rc_context(STYLE):
        for grid in training:
            title = f"training including the input projection, {describe_size(grid.common)}"
            written += panels(grid, timesteps_per_second, f"Time steps per second, {title}", folder / "throughput.svg")
            written += panels(grid, peak, f"Peak memory over the baseline in MiB (2^20 bytes), {title}", folder / "memory.svg")
    return written


def peak(record: CaseRecord) -> float | None:
    return record.memory.peak / MIB if record.memory and record.memory.peak else None


def panels(grid: Grid, value: Callable[[CaseRecord], float | None], title: str, path: Path) -> list[Path]:
    """A quantity over T: a panel for each cell, a line for each backend, the vendor's GRU in grey where it has no such cell."""
    lines = {cell: curves(grid, cell, value) for cell in grid.cells}
    shown = [cell for cell in grid.cells if lines[cell]]
    if not shown:
        return []
    across = min(PANELS_ACROSS, len(shown))
    down = -(-len(shown) // across)
    figure = Figure(figsize=(max(3 * across, 6), 2.3 * down + 1), linewidth=1.5, layout="constrained")
    axes = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False)
    named = {name for cell in shown for name in lines[cell]}
    for axis, cell in zip(axes.flat, shown, strict=False):
        for name, points in lines[cell].items():
            axis.plot(list(points), list(points.values()), label=name, **style(name, named))
        axis.set(title=cell, xscale="log", yscale="log")
        axis.set_xticks(grid.lengths, map(str, grid.lengths))
        axis.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.yaxis.set_major_formatter("{x:,.6g}")
        axis.minorticks_off()
    bottom(axes, len(shown), "T")
    handles = {label: handle for axis in axes.flat for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    names = sorted(handles, key=lambda name: (name not in ORDER, ORDER.index(name) if name in ORDER else 0, name))
    figure.legend([handles[name] for name in names], names, loc="outside lower center", ncols=len(names))
    return [save(figure, title, path)]


def curves(grid: Grid, cell: str, value: Callable[[CaseRecord], float | None]) -> dict[str, dict[int, float]]:
    """The values of a cell over T, by backend; nothing for a backend without one."""
    found: dict[str, dict[int, float]] = {}
    for row in (row for row in grid.rows if row.cell == cell):
        gru = grid.peers(row).width
        for name, record in {**({"vendor's gru": gru} if gru else {}), **grid.timed_records(row)}.items():
            known = value(record)
            if known is not None:
                found.setdefault(name, {})[row.T] = known
    return found if set(found) - {"vendor's gru"} else {}


def style(backend: str, others: Iterable[str] = ()) -> dict[str, Any]:
    """How a backend is drawn beside `others`: low memory is dotted, and its marks are hollow."""
    if backend == "vendor's gru":
        return {"color": "0.6", "linestyle": "--"}
    colour, mark = choose_look(backend, others)
    low = backend.endswith(LOW)
    return {"color": colour, "marker": mark, "linestyle": ":" if low else "-", "fillstyle": "none" if low else "full"}


def save(figure: Figure, title: str, path: Path) -> Path:
    lines = textwrap.fill(title, int(LETTERS * figure.get_figwidth()))
    figure.suptitle(lines, fontsize=10, x=0.01, ha="left")
    figure.savefig(path, format="svg", metadata={"Date": None, "Title": title}, edgecolor=figure.get_edgecolor())
    path.write_text(path.read_text(encoding="utf-8").replace("</style>", f"{dark()}</style>", 1), encoding="utf-8")
    return path


def dark() -> str:
    """The style of a picture on a dark page: paths without a colour are its letters."""
    swaps = (f'[style*="{part}: {light}"] {{ {part}: {night} }}' for part in ("fill", "stroke") for light, night in DARK.items())
    important = "\n".join(swap.replace(" }", " !important }") for swap in swaps)
    return f"\n@media (prefers-color-scheme: dark) {{\nsvg {{ fill: {DARK['#000000']} }}\n{important}\n}}\n"


def bottom(axes: Any, shown: int, label: str) -> None:
    """Of a grid of axes, of which so many are filled: the rest is blank, and the last of each column says what its x is."""
    for axis in axes.flat[shown:]:
        axis.set_axis_off()
    for k in range(axes.shape[1]):
        last = axes[(shown - 1 - k) // axes.shape[1], k]
        last.set_xlabel(label)
        last.tick_params(labelbottom=True)

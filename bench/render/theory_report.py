"""Renders predictions of mean-field theory and their measurements."""

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import TheoryRecord
from bench.render.formatting import format_number
from bench.render.line_labels import add_legend
from bench.render.plots import cell_style, cycle_color, new_figure, save_figure, set_titles, styled
from bench.render.svg import MUTED
from bench.render.table import CELL, INIT, Column, Table, drop_empty

ANALYSIS = """\
- χ is measured with the 95% interval of its mean over steps, on a logarithmic scale. ξ = −1/ln χ(c*) is the time scale in steps,
  with χ at the correlation c* that two sequences tend to; the χ of the table is that at c = 1. The two are the same where c* = 1."""


def find_growth(logs: Sequence[float]) -> Estimate:
    """Returns the mean growth per step with its 95% interval, from its logarithms."""
    found = mean_ci(logs)
    low, value, high = (math.exp(end) for end in (found.low, found.value, found.high))
    return Estimate(value, low, high, found.n)


def format_growth(found: Estimate) -> str:
    """Returns a growth with its interval, if it has one."""
    return f"{found.value:.4f}" + (f" [{found.low:.4f}, {found.high:.4f}]" if found.bounded else "")


GIVEN = {"σ_w": "sigma_w", "σ_v": "sigma_v", "μ": "mu", "σ_Φ": "sigma_phi"}


def make_tables(records: Sequence[TheoryRecord]) -> list[Table]:
    """Returns the table of mean-field theory, or []."""
    if not records:
        return []
    rows = []
    for record in records:
        measured = find_growth(record.untied)
        tied = find_growth(record.tied).value if record.tied else None
        xi = record.xi if math.isfinite(record.xi) else "infinite"
        given = [record.cell, record.init, record.w, record.v, record.mu, record.phi, record.q, record.chi]
        rows.append([*given, measured, measured.value / record.chi - 1, tied, xi])
    columns = [
        CELL, INIT,
        *(Column(header, name, "", "{:g}".format) for header, name in GIVEN.items()),
        Column("q", "q", "", "{:.4f}".format), Column("χ predicted", "chi_predicted", "", "{:.4f}".format),
        Column("χ measured", "chi_measured", "", format_growth),
        Column("deviation", "deviation", "percent", "{:+.2%}".format), Column("χ with tied weights", "chi_tied", "", "{:.4f}".format),
        Column("ξ", "xi", "", format_number),
    ]  # fmt: skip
    columns, rows = drop_empty(columns, rows)
    return [Table("Mean-field theory", columns, rows, f"N={', '.join(str(n) for n in sorted({r.N for r in records}))}.")]


@styled
def draw(records: Sequence[TheoryRecord], folder: Path) -> list[Path]:
    """Draws theory.svg into a folder: measured over predicted growth, in nats per step."""
    if not records:
        return []
    figure = new_figure(6, 4.6)
    axis = figure.subplots()
    for k, cell in enumerate(dict.fromkeys(record.cell for record in records)):
        found = [record for record in records if record.cell == cell]
        for weights, face in (("untied", cycle_color(k)), ("tied", "none")):
            points = [(math.log(r.chi), float(np.mean(getattr(r, weights))), r) for r in found if getattr(r, weights)]
            if points:
                look = {"linestyle": "none", "markerfacecolor": face, "label": cell if weights == "untied" else "_", **cell_style(k)}
                line = axis.plot([x for x, *_ in points], [y for _, y, _ in points], **look)
                set_titles(line, [f"{cell}, {weights}, σ_w={r.w:g}, σ_v={r.v:g}: {y:.4f}, predicted {x:.4f}" for x, y, r in points])
    axis.axline((0, 0), slope=1, color=MUTED, linewidth=1, label="as predicted")
    axis.plot([], [], "o", color=MUTED, markerfacecolor="none", label="hollow: tied weights")
    axis.set(xlabel="ln χ predicted, nats per step", ylabel="ln χ measured")
    add_legend(figure, [axis], loc="outside right center")
    return [
        save_figure(figure, "Growth of a perturbation's mean square, measured over predicted by mean-field theory", folder / "theory.svg")
    ]

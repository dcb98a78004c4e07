"""Mean-field theory beside measurement in a report."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import TheoryRecord
from bench.render.formatting import format_number
from bench.render.plots import STYLE, cell_style, color, legend, new_figure, save, set_titles
from bench.render.svg import MUTED
from bench.render.table import Column, Table

METHOD = """\
- Mean-field theory: χ is the growth of the mean square of a perturbation of all states in a step. It is predicted by quadrature for
  matrices of variance σ²/N that are drawn anew for every step; measured in the cell's own equations at width N with such weights, ± half
  the width of its 95% interval over steps, and with weights that stay, for which the theory makes no claim. ξ = −1/ln χ in steps."""


def growth_of_step(logs: Sequence[float]) -> Estimate:
    """The growth of a step, of its logarithms."""
    found = mean_ci(logs)
    growth = math.exp(found.value)
    return Estimate(growth, growth - growth * found.half, growth + growth * found.half, found.n)


GIVEN = {"σ_w": "sigma_w", "σ_v": "sigma_v", "μ": "mu", "σ_Φ": "sigma_phi"}


def theory_tables(records: Sequence[TheoryRecord]) -> list[Table]:
    if not records:
        return []
    rows = []
    for record in records:
        measured = growth_of_step(record.untied)
        tied = growth_of_step(record.tied).value if record.tied else None
        xi = record.xi if math.isfinite(record.xi) else "infinite"
        given = [record.cell, record.w, record.v, record.mu, record.phi, record.q, record.chi]
        rows.append([*given, measured, measured.value / record.chi - 1, tied, xi])
    columns = [
        Column("cell", "cell", words=True),
        *(Column(header, name, "", "{:g}".format) for header, name in GIVEN.items()),
        Column("q", "q", "", "{:.4f}".format), Column("χ predicted", "chi_predicted", "", "{:.4f}".format),
        Column("χ measured", "chi_measured", "", lambda found: f"{found.value:.4f} ± {found.half:.4f}"),
        Column("deviation", "deviation", "percent", "{:+.2%}".format), Column("χ with tied weights", "chi_tied", "", "{:.4f}".format),
        Column("ξ", "xi", "", format_number),
    ]  # fmt: skip
    return [Table("Mean-field theory", columns, rows, f"N={', '.join(str(n) for n in sorted({r.N for r in records}))}.")]


def draw(records: Sequence[TheoryRecord], folder: Path) -> list[Path]:
    """Write theory.svg: measured over predicted growth, in nats per step."""
    if not records:
        return []
    with matplotlib.rc_context(STYLE):
        figure = new_figure(6, 4.6)
        axis = figure.subplots()
        for k, cell in enumerate(dict.fromkeys(record.cell for record in records)):
            found = [record for record in records if record.cell == cell]
            for weights, face in (("untied", color(k)), ("tied", "none")):
                points = [(math.log(r.chi), float(np.mean(getattr(r, weights))), r) for r in found if getattr(r, weights)]
                if points:
                    look = {"linestyle": "none", "markerfacecolor": face, "label": cell if weights == "untied" else "_", **cell_style(k)}
                    line = axis.plot([x for x, *_ in points], [y for _, y, _ in points], **look)
                    set_titles(line, [f"{cell}, {weights}, σ_w={r.w:g}, σ_v={r.v:g}: {y:.4f}, predicted {x:.4f}" for x, y, r in points])
        axis.axline((0, 0), slope=1, color=MUTED, linewidth=1)
        axis.set(xlabel="ln χ predicted, nats per step", ylabel="ln χ measured (hollow: tied weights)")
        legend(figure, [axis])
        return [save(figure, "Growth of a perturbation's mean square, measured over predicted by mean-field theory", folder / "theory.svg")]

"""Mean-field theory beside measurement in a report."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.records import TheoryRecord
from bench.render.formatting import format_number
from bench.render.plots import COLOURS, MARKERS, STYLE, save
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
    """theory.svg: measured over predicted growth, in nats per step."""
    if not records:
        return []
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(6, 4.6), linewidth=1.5, layout="constrained")
        axis = figure.subplots()
        for k, cell in enumerate(dict.fromkeys(record.cell for record in records)):
            found = [record for record in records if record.cell == cell]
            predicted = [math.log(record.chi) for record in found]
            colour, marker = COLOURS[k % 8], MARKERS[k % 8]
            axis.plot(predicted, [float(np.mean(r.untied)) for r in found], marker, color=colour, label=cell)
            tied = [(p, float(np.mean(r.tied))) for p, r in zip(predicted, found, strict=True) if r.tied]
            axis.plot([p for p, _ in tied], [t for _, t in tied], marker, color=colour, markerfacecolor="none")
        axis.axline((0, 0), slope=1, color="0.6", linewidth=1)
        axis.set(xlabel="ln χ predicted, nats per step", ylabel="ln χ measured (hollow: tied weights)")
        figure.legend(loc="outside right center")
        return [save(figure, "Growth of a perturbation's mean square, measured over predicted by mean-field theory", folder / "theory.svg")]

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
from bench.render.formatting import NONE, format_number, two_grus
from bench.render.markdown import table
from bench.render.plots import COLOURS, MARKERS, STYLE, save

CAPTION = (
    "χ: growth of the mean square of a perturbation of all states in a step. Predicted for matrices of variance σ²/N that are drawn "
    "anew for every step, by quadrature; measured in the cell's own equations at width N with such weights, ± half the width of its "
    "95% interval over steps, and with weights that stay, for which the theory makes no claim. ξ = −1/ln χ in steps."
)


def growth_of_step(logs: Sequence[float]) -> Estimate:
    """The growth of a step, of its logarithms."""
    found = mean_ci(logs)
    growth = math.exp(found.value)
    return Estimate(growth, growth - growth * found.half, growth + growth * found.half, found.n)


def section(records: Sequence[TheoryRecord]) -> list[str]:
    if not records:
        return []
    rows = []
    for record in records:
        measured = growth_of_step(record.untied)
        rows.append([
            record.cell, f"{record.w:g}", f"{record.v:g}", f"{record.mu:g}", f"{record.phi:g}", f"{record.q:.4f}", f"{record.chi:.4f}",
            f"{measured.value:.4f} ± {measured.half:.4f}", f"{measured.value / record.chi - 1:+.2%}",
            f"{growth_of_step(record.tied).value:.4f}" if record.tied else NONE, format_number(record.xi) if math.isfinite(record.xi) else "infinite",
        ])  # fmt: skip
    headers = ("cell", "σ_w", "σ_v", "μ", "σ_Φ", "q", "χ predicted", "χ measured", "off by", "χ with tied weights", "ξ")
    sizes = f"N={', '.join(str(n) for n in sorted({r.N for r in records}))}."
    return ["## Mean-field theory", f"{CAPTION} {sizes} {two_grus(r.cell for r in records)}".strip(), table(headers, rows)]


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

"""Mean-field theory beside measurement in a report."""

import math
from collections.abc import Sequence
from pathlib import Path

import matplotlib
import numpy as np

from bench.analysis.mean_ci import Spread, spread
from bench.records import TheoryRecord
from bench.render.formatting import NONE, number, two_grus
from bench.render.markdown import table
from bench.render.plots import STYLE, cell_style, color, legend, new_figure, save, set_titles
from bench.render.svg import MUTED

CAPTION = (
    "χ: growth of the mean square of a perturbation of all states in a step. Predicted for matrices of variance σ²/N that are drawn "
    "anew for every step, by quadrature; measured in the cell's own equations at width N with such weights, ± half the width of its "
    "95% interval over steps, and with weights that stay, for which the theory makes no claim. ξ = −1/ln χ in steps."
)


def chi(logs: Sequence[float]) -> Spread:
    """The growth of a step, of its logarithms."""
    found = spread(logs)
    return Spread(math.exp(found.mean), math.exp(found.mean) * found.half, found.n)


def section(records: Sequence[TheoryRecord]) -> list[str]:
    if not records:
        return []
    rows = []
    for record in records:
        measured = chi(record.untied)
        rows.append([
            record.cell, f"{record.w:g}", f"{record.v:g}", f"{record.mu:g}", f"{record.phi:g}", f"{record.q:.4f}", f"{record.chi:.4f}",
            f"{measured.mean:.4f} ± {measured.half:.4f}", f"{measured.mean / record.chi - 1:+.2%}",
            f"{chi(record.tied).mean:.4f}" if record.tied else NONE, number(record.xi) if math.isfinite(record.xi) else "infinite",
        ])  # fmt: skip
    headers = ("cell", "σ_w", "σ_v", "μ", "σ_Φ", "q", "χ predicted", "χ measured", "off by", "χ with tied weights", "ξ")
    sizes = f"N={', '.join(str(n) for n in sorted({r.N for r in records}))}."
    return ["## Mean-field theory", f"{CAPTION} {sizes} {two_grus(r.cell for r in records)}".strip(), table(headers, rows)]


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

"""Renders the iterations that solve all time steps at once."""

import math
from collections.abc import Sequence
from pathlib import Path

from bench.records import ParallelRecord
from bench.render.formatting import list_seeds
from bench.render.line_labels import add_legend
from bench.render.plots import cell_style, cycle_color, new_figure, save_figure, set_titles, styled
from bench.render.table import CELL, INIT, Column, Table, drop_empty

FEWEST = 8
"""The least number of cases for which a rank correlation is stated."""
MARGIN = 0.1
"""The difference of two rank correlations that counts."""

ANALYSIS = """\
- Iterations: the largest number over the seeds, with the Lyapunov exponent λ, the coupling and the prediction of the first one. The
  prediction is ln(tolerance) / ln(rate), where the rate is the factor by which one iteration changes the root mean square of a random
  error, to first order; none if it doesn't shrink. χ: the growth of a gradient's mean square per step by mean-field theory, where the start
  has one.
- Contraction or diagonality: Spearman's rank correlation of the iterations to the smallest tolerance with λ and with the coupling, over the
  cases in which both kinds of iteration were counted; what the budget doesn't reach counts as one more than it."""


def group_records(records: Sequence[ParallelRecord]) -> dict[tuple[str, str, float, int], list[ParallelRecord]]:
    """Groups records by cell, initialisation, scale and T, sorted by seed."""
    found: dict[tuple[str, str, float, int], list[ParallelRecord]] = {}
    for record in sorted(records, key=lambda r: (r.cell, r.init, r.scale, r.T, r.seed)):
        found.setdefault((record.cell, record.init, record.scale, record.T), []).append(record)
    return found


def find_most(counts: Sequence[Sequence[int | None]], k: int, budget: int) -> int | str | None:
    """Returns the largest number of iterations that reach tolerance k, in words if a seed doesn't, None if there are no counts."""
    found = [count[k] for count in counts if count]
    known = [n for n in found if n is not None]
    return (max(known) if len(known) == len(found) else f"> {budget}") if found else None


def predict(record: ParallelRecord, k: int) -> int | None:
    """Returns the number of iterations to tolerance k that the rate predicts, None if it is 1 or more."""
    if not 0 < record.rate < 1:
        return 1 if record.rate == 0 else None
    return math.ceil(math.log(record.tolerances[k]) / math.log(record.rate))


def claim_iterations(records: Sequence[ParallelRecord]) -> str:
    """Returns a sentence with the iterations of every cell at its default initialisation, the fewest first; "" without any.

    They are those to the smallest tolerance, with the smallest scale and the largest T.
    """
    scale, T = min((r.scale for r in records), default=0), max((r.T for r in records), default=0)
    groups = {key[0]: group for key, group in group_records(records).items() if key[1:] == ("default", scale, T)}
    counts = {cell: find_most([r.states for r in group], -1, group[0].budget) for cell, group in groups.items()}
    order = sorted(counts, key=lambda cell: (isinstance(counts[cell], str), counts[cell]))
    said = ", ".join(f"{cell} {counts[cell]}" for cell in order)
    head = f"**All time steps at once, to {records[0].tolerances[-1]:.0e} in so many iterations: {said}**" if said else ""
    return head and f"{head}, default initialisation, T={T} H={records[0].H}."


def claim_cause(records: Sequence[ParallelRecord]) -> str:
    """Returns the sentence on what the iterations follow, contraction or diagonality; "" without enough cases.

    It is the one of λ and coupling that ranks the cases more as the iterations to the smallest tolerance do, or both if their rank
    correlations differ by less than MARGIN. The cases are those with all derivatives measured, for either kind of iteration.
    """
    cases = [r for r in records if r.full and not math.isnan(r.exponent)]
    if len(cases) < FEWEST:
        return ""
    said = []
    for part, words in (("states", "with the derivatives of a unit alone"), ("full", "with all derivatives")):
        counts = [n if (n := getattr(r, part)[-1]) is not None else r.budget + 1 for r in cases]
        contraction, diagonality = (correlate_ranks(counts, [getattr(r, name) for r in cases]) for name in ("exponent", "coupling"))
        both = abs(contraction - diagonality) < MARGIN
        cause = "both alike" if both else "contraction" if contraction > diagonality else "diagonality"
        said.append(f"{words} iterations follow {cause} (rank correlation with λ {contraction:+.2f}, with coupling {diagonality:+.2f})")
    return f"**Contraction or diagonality? {'; '.join(said)[:1].upper()}{'; '.join(said)[1:]}**, {len(cases)} cases."


def correlate_ranks(a: Sequence[float], b: Sequence[float]) -> float:
    """Returns Spearman's rank correlation; 0 if one of the two is constant."""
    from scipy.stats import spearmanr  # takes half a second to import, which reports of other studies need not pay

    return float(spearmanr(a, b).statistic) if len({*a}) > 1 and len({*b}) > 1 else 0.0


def make_tables(records: Sequence[ParallelRecord]) -> list[Table]:
    """Returns the table of iterations, or []."""
    if not records:
        return []
    first, rows = records[0], []
    for (cell, init, scale, T), group in group_records(records).items():
        counts = [
            find_most([getattr(r, part) for r in group], k, group[0].budget)
            for part in ("states", "gradients", "full") for k in range(len(first.tolerances))
        ]  # fmt: skip
        rows.append([cell, init, scale, T, *counts, predict(group[0], -1), group[0].exponent, group[0].chi, group[0].coupling])
    names = {"states": "states", "gradients": "gradients", "full": "all derivatives"}
    columns = [
        CELL, INIT, Column("scale", "scale", "", "{:g}".format), Column("T", "T"),
        *(
            Column(f"{words} to {tolerance:.0e}", f"{part}_to_{tolerance:.0e}", terminal=tolerance == first.tolerances[-1])
            for part, words in names.items() for tolerance in first.tolerances
        ),
        Column(f"predicted to {first.tolerances[-1]:.0e}", "predicted"), Column("λ", "exponent", "nats_per_step", "{:+.2f}".format),
        Column("χ", "chi", "", "{:.2f}".format), Column("coupling", "coupling", "", "{:.1%}".format),
    ]  # fmt: skip
    caption = f"Iterations. B={first.B} D={first.D} H={first.H}, {first.dtype}, {list_seeds({r.seed for r in records})}."
    return [Table("Time in parallel", *drop_empty(columns, rows), caption)]


@styled
def draw(records: Sequence[ParallelRecord], folder: Path) -> list[Path]:
    """Draws parallel.svg into a folder: iterations of the states to the smallest tolerance, over λ and over the coupling of units, at the
    largest T. What the budget doesn't reach lies at its edge."""
    longest = max((r.T for r in records), default=0)
    shown = [r for r in records if longest == r.T and math.isfinite(r.exponent)]
    if not shown:
        return []
    figure = new_figure(8, 4)
    left, right = figure.subplots(1, 2, sharey=True)
    for k, cell in enumerate(dict.fromkeys(r.cell for r in shown)):
        found = [r for r in shown if r.cell == cell]
        counts = [r.budget if r.states[-1] is None else r.states[-1] for r in found]
        titles = [
            f"{cell} {r.init} ×{r.scale:g}: {n} iterations, λ {r.exponent:+.2f}, coupling {r.coupling:.0%}"
            for r, n in zip(found, counts, strict=True)
        ]
        for axis, values in ((left, [r.exponent for r in found]), (right, [r.coupling for r in found])):
            look = {"linestyle": "none", "markerfacecolor": cycle_color(k), "label": cell if axis is left else "_", **cell_style(k)}
            set_titles(axis.plot(values, counts, **look), titles)
    left.set(xlabel="largest Lyapunov exponent, nats per step", ylabel=f"iterations to {shown[0].tolerances[-1]:.0e}", yscale="log")
    right.set(xlabel="share of derivatives between units")
    add_legend(figure, [left], loc="outside right center")
    return [save_figure(figure, f"Iterations that solve all time steps at once, T={longest} H={shown[0].H}", folder / "parallel.svg")]

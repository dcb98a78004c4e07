"""Data-parallel training in a report."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

from bench.analysis.median_ci import Estimate, estimate, ratio
from bench.records import ScaleRecord
from bench.render.formatting import NONE, milliseconds
from bench.render.markdown import table
from bench.render.plots import STYLE, cell_style, legend, new_figure, save, set_titles

CAPTION = (
    "Training steps with DistributedDataParallel, of the slowest rank. Strong: all ranks share the batch of one. Weak: each has as many "
    "sequences as one. Efficiency: sequences a second and rank over those of one rank, with its 95% interval. Exchange: the share of a "
    "step that it takes longer than the same step without sending gradients, by turns. Off: the largest distance of losses and gradients "
    "from those of one process with the whole batch. Ranks of one machine share its memory and, where they are more than its cores, those."
)


def efficiency(record: ScaleRecord, records: Sequence[ScaleRecord]) -> Estimate | None:
    """None where one rank has no time."""
    one = next((r for r in records if (r.cell, r.scaling, r.ranks) == (record.cell, record.scaling, 1)), None)
    if one is None or not (one.step and record.step):
        return None
    found, share = ratio(tuple(one.step), tuple(record.step)), record.B / one.B
    return Estimate(found.value * share, found.low * share, found.high * share, found.n)


def exchange(record: ScaleRecord) -> Estimate:
    return estimate(tuple(alone / step for step, alone in zip(record.step, record.alone, strict=True)))


def section(records: Sequence[ScaleRecord]) -> list[str]:
    if not records:
        return []
    headers = ("cell", "scaling", "ranks", "B a rank", "ms a step", "sequences/s", "efficiency", "exchange", "off")
    first = records[0]
    sizes = f"T={first.T} D={first.D} H={first.H}, float32, {first.exchange}, {first.threads} threads a rank."
    return ["## Data-parallel training", f"{CAPTION} {sizes}", table(headers, [row(record, records) for record in records], left=2)]


def row(record: ScaleRecord, records: Sequence[ScaleRecord]) -> list[str]:
    named = [record.cell, record.scaling, str(record.ranks), str(record.B)]
    worst = max((e for e in (record.loss_error, record.gradient_error) if e is not None), default=None)
    off = NONE if worst is None else f"{worst:.1e}"
    if not record.step:
        return [*named, record.status, NONE, NONE, NONE, off]
    step, share = estimate(tuple(record.step)), efficiency(record, records)
    told = NONE if share is None else f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]" if record.ranks > 1 else "100%"
    sent = f"{1 - exchange(record).value:.1%}" if record.ranks > 1 else NONE
    return [*named, milliseconds(step.value), f"{record.ranks * record.B / step.value:,.0f}", told, sent, off]


def draw(records: Sequence[ScaleRecord], folder: Path) -> list[Path]:
    """Write scale.svg: efficiency over ranks."""
    known = [(record, found) for record in records if (found := efficiency(record, records))]
    if not known:
        return []
    with matplotlib.rc_context(STYLE):
        figure = new_figure(7, 4)
        axis = figure.subplots()
        for k, key in enumerate(dict.fromkeys((record.cell, record.scaling) for record, _ in known)):
            ours = [(record.ranks, e.value) for record, e in known if (record.cell, record.scaling) == key]
            line = axis.plot(*zip(*ours, strict=True), "-" if key[1] == "strong" else "--", label=" ".join(key), **cell_style(k))
            set_titles(line, [f"{' '.join(key)}, {n} ranks: {e:.0%}" for n, e in ours])
        axis.set_xscale("log", base=2)
        ticks = sorted({record.ranks for record, _ in known})
        axis.set(xlabel="ranks", ylabel="efficiency", ylim=(0, None), xticks=ticks, xticklabels=ticks)
        legend(figure, [axis])
        return [save(figure, "Efficiency of data-parallel training over ranks", folder / "scale.svg")]

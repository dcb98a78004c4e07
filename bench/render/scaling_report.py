"""Data-parallel training in a report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

from bench.analysis.median_ci import Estimate, median_ci, ratio_ci
from bench.records import ScaleRecord
from bench.render.formatting import format_ms
from bench.render.plots import STYLE, cell_style, legend, new_figure, save, set_titles
from bench.render.table import Column, Table

METHOD = """\
- Data-parallel training: training steps with DistributedDataParallel, of the slowest rank. Strong scaling: all ranks share the batch of
  one. Weak scaling: each has as many sequences as one. Efficiency: sequences a second and rank over those of one rank, with its 95%
  interval. Exchange: the share of a step that it takes longer than the same step without sending gradients, interleaved with it. Deviation:
  the largest distance of losses and gradients from those of one process with the whole batch. Ranks of one machine share its memory and,
  where they are more than its cores, those."""


def efficiency(record: ScaleRecord, records: Sequence[ScaleRecord]) -> Estimate | None:
    """None where one rank has no time."""
    one = next((r for r in records if (r.cell, r.scaling, r.ranks) == (record.cell, record.scaling, 1)), None)
    if one is None or not (one.step and record.step):
        return None
    found, share = ratio_ci(tuple(one.step), tuple(record.step)), record.B / one.B
    return Estimate(found.value * share, found.low * share, found.high * share, found.n)


def exchange(record: ScaleRecord) -> Estimate:
    return median_ci(tuple(alone / step for step, alone in zip(record.step, record.alone, strict=True)))


def scaling_tables(records: Sequence[ScaleRecord]) -> list[Table]:
    if not records:
        return []
    columns = [
        Column("cell", "cell", words=True), Column("scaling", "scaling", words=True), Column("ranks", "ranks"),
        Column("B a rank", "B_per_rank"), Column("ms a step", "step", "ms", format_ms),
        Column("sequences/s", "sequences_per_s", "", "{:,.0f}".format),
        Column("efficiency", "efficiency", "percent", format_efficiency), Column("exchange", "exchange", "percent", "{:.1%}".format),
        Column("max. deviation", "deviation", "", "{:.1e}".format),
    ]  # fmt: skip
    first = records[0]
    sizes = f"T={first.T} D={first.D} H={first.H}, float32, {first.exchange}, {first.threads} threads a rank."
    return [Table("Data-parallel training", columns, [row(record, records) for record in records], sizes)]


def row(record: ScaleRecord, records: Sequence[ScaleRecord]) -> list[Any]:
    named = [record.cell, record.scaling, record.ranks, record.B]
    worst = max((e for e in (record.loss_error, record.gradient_error) if e is not None), default=None)
    if not record.step:
        return [*named, record.status, None, None, None, worst]
    step, alone = median_ci(tuple(record.step)), record.ranks == 1
    share = efficiency(record, records)
    known = 1.0 if share and alone else share
    return [*named, step, record.ranks * record.B / step.value, known, None if alone else 1 - exchange(record).value, worst]


def format_efficiency(share: Estimate | float) -> str:
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]" if isinstance(share, Estimate) else f"{share:.0%}"


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

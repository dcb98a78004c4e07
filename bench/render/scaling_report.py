"""Renders data-parallel training."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bench.analysis.median_ci import Estimate, median_ci, ratio_ci
from bench.records import ScaleRecord
from bench.render.formatting import format_ms
from bench.render.plots import cell_style, draw_rule, new_figure, save_figure, set_titles, styled
from bench.render.table import CELL, Column, Table, make_word_column

ANALYSIS = """\
- Efficiency: sequences per second and rank, divided by those of one rank, with its 95% interval. Gradient exchange: the share of a step
  that disappears when the same step, interleaved with it, sends no gradients."""


def find_efficiency(record: ScaleRecord, records: Sequence[ScaleRecord]) -> Estimate | None:
    """Returns the efficiency against a single rank with its 95% interval, or None if a single rank was not timed."""
    one = next((r for r in records if (r.cell, r.scaling, r.ranks) == (record.cell, record.scaling, 1)), None)
    if one is None or not (one.step and record.step):
        return None
    found, share = ratio_ci(tuple(one.step), tuple(record.step)), record.B / one.B
    return Estimate(found.value * share, found.low * share, found.high * share, found.n)


def find_compute_share(record: ScaleRecord) -> Estimate:
    """Returns the share of a step that is not the exchange of gradients."""
    return median_ci(tuple(alone / step for step, alone in zip(record.step, record.alone, strict=True)))


def make_tables(records: Sequence[ScaleRecord]) -> list[Table]:
    """Returns the table of data-parallel training, or []."""
    if not records:
        return []
    columns = [
        CELL, make_word_column("scaling"), Column("ranks", "ranks"),
        Column("B per rank", "B_per_rank"), Column("ms per step", "step", "ms", format_ms),
        Column("sequences/s", "sequences_per_s", "", "{:,.0f}".format),
        Column("efficiency", "efficiency", "percent", format_efficiency),
        Column("gradient exchange", "exchange", "percent", "{:.1%}".format), Column("max. deviation", "deviation", "", "{:.1e}".format),
    ]  # fmt: skip
    first = records[0]
    sizes = f"T={first.T} D={first.D} H={first.H}, float32, {first.exchange}, {first.threads} threads per rank."
    return [Table("Data-parallel training", columns, [make_row(record, records) for record in records], sizes)]


def make_row(record: ScaleRecord, records: Sequence[ScaleRecord]) -> list[Any]:
    named = [record.cell, record.scaling, record.ranks, record.B]
    worst = max((e for e in (record.loss_error, record.gradient_error) if e is not None), default=None)
    if not record.step:
        return [*named, record.status, None, None, None, worst]
    step, alone = median_ci(tuple(record.step)), record.ranks == 1
    share = find_efficiency(record, records)
    known = 1.0 if share and alone else share
    return [*named, step, record.ranks * record.B / step.value, known, None if alone else 1 - find_compute_share(record).value, worst]


def format_efficiency(share: Estimate | float) -> str:
    return f"{share.value:.0%} [{share.low:.0%}, {share.high:.0%}]" if isinstance(share, Estimate) else f"{share:.0%}"


@styled
def draw(records: Sequence[ScaleRecord], folder: Path) -> list[Path]:
    """Draws scale.svg into a folder: efficiency over ranks."""
    known = [(record, found) for record in records if (found := find_efficiency(record, records))]
    if not known:
        return []
    figure = new_figure(7, 4)
    axis = figure.subplots()
    for k, key in enumerate(dict.fromkeys((record.cell, record.scaling) for record, _ in known)):
        ours = [(record.ranks, e.value) for record, e in known if (record.cell, record.scaling) == key]
        line = axis.plot(*zip(*ours, strict=True), "-" if key[1] == "strong" else "--", label=" ".join(key), **cell_style(k))
        set_titles(line, [f"{' '.join(key)}, {n} ranks: {e:.0%}" for n, e in ours])
    draw_rule(axis, 1.0, "all ranks at full speed")
    axis.set_xscale("log", base=2)
    ticks = sorted({record.ranks for record, _ in known})
    axis.set(xlabel="ranks", ylabel="efficiency", ylim=(0, None), xticks=ticks, xticklabels=ticks)
    return [save_figure(figure, "Efficiency of data-parallel training over ranks", folder / "scale.svg", [axis])]

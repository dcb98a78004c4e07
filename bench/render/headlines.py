"""The headline of a run that timed no case: what was learned, how signals travel, or what more ranks are worth."""

import math
from collections.abc import Iterator, Sequence
from statistics import geometric_mean

from bench.quality import by_cell, level, mean, reach
from bench.records import Records
from bench.render.scaling import efficiency
from bench.render.training import groups, spread, title
from bench.render.words import number, plural
from bench.summary import by_cell as by_length
from bench.summary import rate

NAMED = 3
"""Cells that a headline of signals names."""


def learnt(records: Records) -> str:
    """For each task and size a sentence: see `tasks`."""
    return " ".join(tasks(records))


def tasks(records: Records) -> Iterator[str]:
    """For each task which cell became best, and which reached the common quality the soonest with every seed."""
    for key, found in groups(records.training).items():
        cells, goal = by_cell(found), level(found)
        known = {cell: mean([record.final for record in trials]) for cell, trials in cells.items()}
        finals = {cell: final for cell, final in known.items() if math.isfinite(final.value)}
        if not finals:
            yield f"**{title(key)}: no cell ended with a finite value.**"
            continue
        best = (max if found[0].higher else min)(finals, key=lambda cell: finals[cell].value)
        said = f"**{title(key)}: {best} has the best {found[0].metric}, {spread(finals[best])}**"
        times = {cell: [p.seconds for r in trials if goal is not None and (p := reach(r, goal))] for cell, trials in cells.items()}
        whole = {cell: geometric_mean(t) for cell, t in times.items() if len(t) == len(cells[cell]) and min(t) > 0}
        soonest = min(whole, key=lambda cell: whole[cell], default=None)
        yield (
            f"{said}; {soonest} is the soonest at {number(goal)}, in {number(whole[soonest])} s."
            if soonest and goal is not None
            else f"{said}."
        )


def travelled(records: Records) -> str:
    """What a run has that timed no case and trained nothing: see `scaled` and `signals`."""
    return " ".join([*scaled(records), *signals(records)])


def scaled(records: Records) -> Iterator[str]:
    """What most ranks are worth, of the cell and scaling that does best."""
    most = max((record.ranks for record in records.scale if record.step), default=1)
    known = [(found, record) for record in records.scale if record.ranks == most and (found := efficiency(record, records.scale))]
    if most > 1 and known:
        best, record = max(known, key=lambda pair: pair[0].value)
        ends = f" [{best.low:.0%}, {best.high:.0%}]" if best.bounded else ""
        share = f"{best.value:.0%}{ends} of {most} times the speed of one"
        yield f"**`{record.cell}` on {most} ranks trains at {share}**, {record.scaling} scaling."


def signals(records: Records) -> Iterator[str]:
    """What a run of signals has: whose gradients last, and what else was studied."""
    longest = {cell: list(lengths.values())[-1] for cell, lengths in by_length(records.gradients).items()}
    rates = {cell: found for cell, record in longest.items() if (found := rate(record)) is not None}
    if rates:
        order = sorted(rates, key=lambda cell: abs(rates[cell]))
        shown = ", ".join(f"{cell} {rates[cell]:+.4f}" for cell in order[:NAMED])
        yield f"**Gradients change least with lag in {order[0]}**: {shown} nats per step, of {plural(len(rates), 'cell')}."
    kinds: dict[str, Sequence[object]] = {
        "Jacobian": records.jacobians, "mean-field prediction": records.theory, "chaotic map": records.maps,
    }  # fmt: skip
    counts = [plural(len(kind), noun) for noun, kind in kinds.items() if kind]
    counts += [f"{plural(len(records.decays), 'cell')} without input"] if records.decays else []
    if counts:
        yield f"{', '.join(counts)}."

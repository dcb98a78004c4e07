"""Writes the headline of a run without timed cases: trainings, signal studies and scaling."""

import math
from collections.abc import Iterator, Mapping, Sequence
from statistics import geometric_mean, median

from bench.analysis.mean_ci import mean_ci
from bench.analysis.summary import fit_growth
from bench.analysis.training_metrics import common_quality, first_reaching, group_by_cell
from bench.records import Records
from bench.records.training_record import TrainingRecord
from bench.render import gradient_report, jacobian_report
from bench.render.formatting import count_noun, format_number
from bench.render.jacobian_report import fit_jacobian_growth
from bench.render.scaling_report import find_efficiency
from bench.render.theory_report import find_growth
from bench.render.training_report import format_mean, group_trainings, title_group

NAMED = 3
"""The number of cells that a headline of signals names."""


def claim_run(records: Records) -> str:
    """Returns the headline of a run without timed cases, as markdown."""
    parts = claim_training(records) if records.training else (*claim_scaling(records), *claim_studies(records))
    return " ".join(parts)


def claim_training(records: Records) -> Iterator[str]:
    """Yields a sentence per task: the best cell, and the first one that reached the common quality with every seed."""
    for key, found in group_trainings(records.training).items():
        cells, goal = group_by_cell(found), common_quality(found)
        known = {cell: mean_ci([record.final for record in trials]) for cell, trials in cells.items()}
        finals = {cell: final for cell, final in known.items() if math.isfinite(final.value)}
        if not finals:
            yield f"**{title_group(key)}: no cell ended with a finite value.**"
            continue
        best = (max if found[0].higher else min)(finals, key=lambda cell: finals[cell].value)
        said = f"**{title_group(key)}: {best} has the best {found[0].metric}, {format_mean(finals[best])}**{compare_cells(best, cells)}"
        times = {cell: [p.seconds for r in trials if goal is not None and (p := first_reaching(r, goal))] for cell, trials in cells.items()}
        whole = {cell: geometric_mean(t) for cell, t in times.items() if len(t) == len(cells[cell]) and min(t) > 0}
        fastest = min(whole, key=lambda cell: whole[cell], default=None)
        if fastest and goal is not None:
            said += f"; {fastest} reaches {format_number(goal)} first, in {format_number(whole[fastest])} s"
        yield f"{said}."


def compare_cells(best: str, cells: Mapping[str, Sequence[TrainingRecord]]) -> str:
    """Returns which cells are not significantly different from the best one, seed by seed, and which are significantly better than every
    baseline.

    Args:
        best: The best cell.
        cells: The trainings of all cells.
    """
    of = {cell: {r.trial.seed: r.final for r in found if math.isfinite(r.final)} for cell, found in cells.items()}
    first = cells[best][0]
    limit = (max if first.higher else min)(first.baselines.values(), default=None)
    if len(of[best]) < 2:
        return "" if limit is None else f"; without a recurrent layer, {format_number(limit)}"
    apart = {cell: [of[best][seed] - value for seed, value in finals.items() if seed in of[best]] for cell, finals in of.items()}
    alike = [cell for cell, d in apart.items() if cell != best and len(d) > 1 and not mean_ci(d).sign]
    said = f", not significantly different from {', '.join(alike)}" if alike else ""
    if limit is None:
        return said
    way = 1 if first.higher else -1
    above = [cell for cell, finals in of.items() if len(finals) > 1 and mean_ci([way * (v - limit) for v in finals.values()]).sign > 0]
    return f"{said}; significantly better than without a recurrent layer: {', '.join(above) or 'none'}"


def claim_scaling(records: Records) -> Iterator[str]:
    """Yields the efficiency of the largest number of ranks, for the best cell and scaling."""
    most = max((record.ranks for record in records.scale if record.step), default=1)
    known = [(found, record) for record in records.scale if record.ranks == most and (found := find_efficiency(record, records.scale))]
    if most > 1 and known:
        best, record = max(known, key=lambda pair: pair[0].value)
        ends = f" [{best.low:.0%}, {best.high:.0%}]" if best.bounded else ""
        share = f"{best.value:.0%}{ends} of {most} times the speed of one rank"
        yield f"**`{record.cell}` trains on {most} ranks at {share}**, {record.scaling} scaling."


def claim_studies(records: Records) -> Iterator[str]:
    """Yields a sentence per study of signals: gradients, Jacobians, mean-field theory, chaotic maps, cells without input."""
    norms = gradient_report.group_gradients(records.gradients)
    shown = {(cell, init): found[max(found)] for (cell, kind, init), found in norms.items() if kind == choose_dtype(norms)}
    yield from claim_least_growth("Gradients change least with lag", {key: [fit_growth(r) for r in found] for key, found in shown.items()})
    jacobians = jacobian_report.group_jacobians(records.jacobians)
    growths = {key: [fit_jacobian_growth(r.lags, r.state) for r in found] for key, found in jacobians.items()}
    yield from claim_least_growth("The Jacobian of the states changes least with lag", growths)
    off = [abs(find_growth(record.untied).value / record.chi - 1) for record in records.theory]
    if off:
        known = f"{median(off):.2%} in the median, {max(off):.2%} at most"
        yield f"**Mean-field theory predicts a perturbation's growth with an error of {known}** ({count_noun(len(off), 'prediction')})."
    if records.maps:
        exponents = ", ".join(f"{record.name} {gradient_report.format_growth(mean_ci(record.exponents))}" for record in records.maps)
        yield f"**Largest Lyapunov exponents: {exponents}** nats per step."
    if records.decays:
        finite = [record for record in records.decays if record.exponent and all(map(math.isfinite, record.exponent))]
        grown = [name_cell(record.cell, record.init) for record in finite if mean_ci(record.exponent).sign > 0]
        cells = count_noun(len({record.cell for record in records.decays}), "cell")
        yield f"**Without input, a small difference grows in {', '.join(grown) or 'no cell'}** ({cells} studied)."


def choose_dtype(norms: Mapping[gradient_report.Key, object]) -> str:
    """Returns the dtype with the most digits among those of the gradient norms."""
    kinds = [kind for _, kind, _ in norms]
    return next((kind for kind in ("float64", "float32") if kind in kinds), kinds[0])


def claim_least_growth(said: str, slopes: Mapping[tuple[str, str], Sequence[float | None]]) -> Iterator[str]:
    """Yields the cells with the smallest slopes over lag, by cell and initialisation, averaged over seeds."""
    known = {name_cell(*key): mean_ci(found).value for key, values in slopes.items() if (found := [v for v in values if v is not None])}
    if known:
        order = sorted(known, key=lambda name: abs(known[name]))
        shown = ", ".join(f"{name} {known[name]:+.4f}" for name in order[:NAMED])
        yield f"**{said} in {order[0]}**: {shown} nats per step, of {len(known)}."


def name_cell(cell: str, init: str) -> str:
    return cell if init == "default" else f"{cell} ({init})"

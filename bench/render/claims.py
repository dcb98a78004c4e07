"""Writes the headline of a run without timed cases, trainings, signal studies and scaling, by the rules of docs/method.md."""

from collections.abc import Iterator, Sequence
from statistics import median

from bench.analysis.mean_ci import mean_ci, mean_of_ratios
from bench.analysis.ranking import absolute, rank
from bench.records import Records, TheoryRecord
from bench.render import chaos_report, gradient_report, jacobian_report, parallel_report
from bench.render.formatting import count_noun
from bench.render.scaling_report import find_efficiency, format_efficiency
from bench.render.start_table import Slopes
from bench.render.theory_report import find_growth
from bench.render.training_claims import claim_trainings


def claim_run(records: Records) -> str:
    """Returns the headline of a run without timed cases, as markdown."""
    parts = claim_trainings(records.training) if records.training else (*claim_scaling(records), *claim_studies(records))
    return " ".join(parts)


def claim_scaling(records: Records) -> Iterator[str]:
    """Yields for each scaling the mean efficiency of all cells on the largest number of ranks."""
    most = max((record.ranks for record in records.scale if record.step), default=1)
    for scaling in dict.fromkeys(record.scaling for record in records.scale) if most > 1 else ():
        at = [record for record in records.scale if (record.scaling, record.ranks) == (scaling, most)]
        known = {record.cell: found for record in at if (found := find_efficiency(record, records.scale))}
        if known:
            mean = mean_of_ratios(known.values())
            ends = f", the geometric mean of {len(known)} cells" if len(known) > 1 else ""
            cells = ", ".join(f"`{cell}`" for cell in known)
            share = f"{format_efficiency(mean)} of {most} times the speed of one rank"
            yield f"**{cells} {'train' if len(known) > 1 else 'trains'} on {most} ranks at {share}**{ends}, {scaling} scaling."


def claim_studies(records: Records) -> Iterator[str]:
    """Yields a sentence per study of signals: gradients, Jacobians, mean-field theory, chaotic maps, cells without input, time in
    parallel."""
    yield from claim_least_growth("Gradients", "change", gradient_report.list_slopes(records.gradients))
    yield from claim_least_growth("The Jacobian of the states", "changes", jacobian_report.list_slopes(records.jacobians))
    yield from claim_theory(records.theory)
    if records.maps:
        means = {record.name: mean_ci(record.exponents, len(records.maps)) for record in records.maps}
        exponents = ", ".join(f"{name} {gradient_report.format_growth(mean)}" for name, mean in means.items())
        yield f"**Largest Lyapunov exponents: {exponents}** nats per step."
    if records.decays:
        grown = [name_cell(r.cell, r.init) for r in records.decays if chaos_report.is_growing(r, len(records.decays))]
        cells = count_noun(len(records.decays), "case")
        yield f"**Without input, a small difference is shown to grow in {', '.join(grown) or 'no cell'}** ({cells} studied)."
    yield from filter(None, (parallel_report.claim_iterations(records.parallel), parallel_report.claim_cause(records.parallel)))


def claim_theory(records: Sequence[TheoryRecord]) -> Iterator[str]:
    """Yields the error of mean-field theory with weights drawn anew at each step, which it assumes, and with tied weights."""
    off, tied = ([abs(find_growth(logs).value / r.chi - 1) for r in records if (logs := getattr(r, kind))] for kind in ("untied", "tied"))
    if off:
        known, others = (f"{median(found):.2%} in the median, {max(found):.2%} at most" for found in (off, tied or off))
        yield (
            f"**With weights drawn anew at each step, mean-field theory predicts a perturbation's growth with an error of {known}** "
            f"({count_noun(len(off), 'prediction')}){f'; with tied weights {others}' if tied else ''}."
        )


def claim_least_growth(subject: str, verb: str, slopes: Slopes) -> Iterator[str]:
    """Yields for each initialisation the cell whose slope over lag is nearest to 0, if its interval over seeds is apart from all others."""
    for init in dict.fromkeys(init for _, init in slopes):
        known = {cell: values for (cell, at), found in slopes.items() if at == init and (values := [v for v in found if v is not None])}
        looks = len([cell for cell, at in slopes if at == init])
        means = {cell: mean_ci(values, looks) for cell, values in known.items()}
        if not means:
            continue
        found = rank({cell: absolute(mean) for cell, mean in means.items()}, higher=False)
        first, *others = [f"{cell} {gradient_report.format_growth(means[cell])}" for cell in found.order]
        if found.best:
            yield f"**{subject} {verb} least with lag in {found.best}**, {init} initialisation: {first}, then {others[0]} nats per step."
        elif found.ranked:
            listed = f"{first} nats per step, not significantly different from {', '.join(found.near)}"
            yield f"{subject}, {init} initialisation: no cell is shown to change least with lag: {listed}."
        else:
            why = " (too few seeds for an interval)" * bool(others)
            yield f"{subject} over lag, {init} initialisation: {', '.join([first, *others])} nats per step{why}."


def name_cell(cell: str, init: str) -> str:
    return cell if init == "default" else f"{cell} ({init})"

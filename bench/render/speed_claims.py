"""Writes the headline of a run with timed cases: the mean speedups over torch.nn, by the rules of docs/method.md.

For each dtype of the first task that is compared with torch.nn: the same cells first, then the cells that torch.nn lacks.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from bench.analysis.summary import is_timed
from bench.records import CaseRecord
from bench.render.case_grid import Grid
from bench.render.formatting import VERBS, count_noun, describe_size, describe_task, format_factor, format_interval, format_number
from bench.render.mean_speeds import EQUAL, MeanSpeed, choose_mean, compute_mean_speeds


def claim_speed(laid: Sequence[Grid]) -> str:
    """Returns the headline of a run as markdown; "" if no case was compared with torch.nn."""
    task, parts = None, list[str]()
    for grid in laid:
        if task in (None, (grid.common.mode, grid.common.input_product)) and (found := list(claim_grid(grid))):
            task = grid.common.mode, grid.common.input_product
            parts += found
    return " ".join(parts)


def claim_grid(grid: Grid) -> Iterator[str]:
    """Yields a sentence about the cells that torch.nn has, and one about those that it lacks."""
    means = compute_mean_speeds(grid)
    same = [mean for mean in means if mean.peer == "same"]
    if chosen := choose_mean(same):
        yield claim_mean(grid, chosen, same, f"torch.nn's own {list_cells(chosen)}")
    parameters, width = ([mean for mean in means if mean.peer == peer] for peer in ("parameters", "width"))
    chosen = choose_mean(parameters)
    equal = [record for record, *_ in chosen.compared] if chosen else []
    if chosen:
        beside = next(filter(None, (select_cases(m, equal, inside=True) for m in width if m.backend == chosen.backend)), None)
        said = claim_mean(grid, chosen, parameters, "torch.nn's GRU of equal parameters", f"{list_cells(chosen)}, which torch.nn lacks: ")
        yield f"{said[:-1]}; {compare_width(beside)}." if beside else said
    rest = choose_mean(width)
    if rest and (others := select_cases(rest, equal, inside=False) if not chosen or rest.backend == chosen.backend else None):
        setting = f"{describe_size(grid.common)}, {describe_task(grid.common).lower()}"
        lacking = f"{list_cells(others)}, which torch.nn lacks: not compared at equal parameters"
        yield f"{lacking}; {others.backend} {VERBS[others.mode]} {compare_width(others)}, {setting}."


def select_cases(mean: MeanSpeed, records: Sequence[CaseRecord], inside: bool) -> MeanSpeed | None:
    """Returns a mean over those of its cases that are among records, or are not; None if there are none."""
    kept = tuple(found for found in mean.compared if (found[0] in records) == inside)
    return replace(mean, compared=kept) if kept else None


def claim_mean(grid: Grid, mean: MeanSpeed, others: Sequence[MeanSpeed], peer: str, subject: str = "") -> str:
    """Returns a sentence about the mean speedup of a backend. If no backend is significantly faster, the sentence says so first.

    Args:
        grid: The grid.
        mean: The mean speedup.
        others: Those of all backends over the same kind of peer.
        peer: Names the peer.
        subject: Names the cells, if they aren't those of torch.nn.
    """
    known = f"{mean.backend} {VERBS[mean.mode]} {format_factor(mean.value)}{format_interval(mean.ratio)} as fast as {peer}"
    verdicts = ", ".join(f"{count} {verdict}" for verdict, count in sorted(mean.counts.items()))
    host = f"; in {mean.host_bound} of them torch.nn's time is host-bound" if mean.host_bound else ""
    chosen = f", chosen of {mean.looks} backends" if mean.looks > 1 else ""
    setting = f"{describe_cases(mean)} ({verdicts}{host}){chosen}, {describe_size(grid.common)}, {describe_task(grid.common).lower()}"
    eager = next((m for m in others if m.backend == "eager" and count_cases(m) == count_cases(mean)), None) if subject else None
    loop = f"; the same cells in a Python loop {format_factor(eager.value)}{format_interval(eager.ratio)}" if eager else ""
    if mean.is_faster:
        return f"{subject}**{known}**, {setting}{loop}."
    if not any(other.counts["faster"] for other in others):
        lead = f"No {mean.dtype} {mean.mode} time is significantly faster than {peer}"
    elif mean.is_above:
        lead = f"Faster in {mean.counts['faster']} of {count_noun(mean.cases, 'case')}, not in most"
    elif any(other.is_above for other in others):
        above = " and ".join(other.backend for other in others if other.is_above)
        lead = f"In {mean.dtype} {mean.mode}, on average only {above} is faster than {peer}"
    else:
        lead = f"In {mean.dtype} {mean.mode}, no backend is significantly faster on average than {peer}"
    return f"{subject}**{lead}:** {known}, {setting}{loop}."


def describe_cases(mean: MeanSpeed) -> str:
    """Returns over which cases a mean is taken, and their range."""
    ratios = [speed.ratio.value for *_, speed in mean.compared]
    if len(ratios) == 1:
        return f"one case, T={mean.compared[0][0].case.T}"
    return f"the geometric mean of {count_noun(len(ratios), 'case')} from {format_factor(min(ratios))} to {format_factor(max(ratios))}"


def count_cases(mean: MeanSpeed) -> list[tuple[object, ...]]:
    """Returns what identifies the cases of a mean, whatever their backend."""
    return sorted((r.case.cell, r.case.T, r.case.B, r.case.D, r.case.H) for r, *_ in mean.compared if is_timed(r))


def list_cells(mean: MeanSpeed) -> str:
    """Returns the names of a mean's cells."""
    return ", ".join(dict.fromkeys(record.case.cell for record, *_ in mean.compared))


def compare_width(mean: MeanSpeed) -> str:
    """Returns the mean speedup over the GRU of equal width, and how many times as many parameters that has."""
    ratio = mean.size_ratio
    size = f", which has {format_number(ratio)} times as many parameters" if ratio and abs(ratio - 1) > EQUAL else ""
    known = f"{format_factor(mean.value)}{format_interval(mean.ratio)}"
    return f"{known} as fast as its GRU of equal H{size} ({count_noun(mean.cases, 'case')})"

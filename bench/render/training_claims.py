"""Writes the headline of trainings by the rules of docs/method.md: first where nothing beats the baseline, then the order of the cells."""

import math
from collections.abc import Iterator, Mapping, Sequence

from bench.analysis.median_ci import Estimate
from bench.analysis.ranking import Ranking, rank
from bench.analysis.training_metrics import common_quality, first_reaching, group_by_cell, quality_ci, steps_ci
from bench.records.training_record import TrainingRecord
from bench.render.formatting import format_number
from bench.render.training_report import format_mean, group_trainings, title_group

Cells = Mapping[str, Sequence[TrainingRecord]]


def claim_trainings(records: Sequence[TrainingRecord]) -> Iterator[str]:
    """Yields what is said of each task: its baselines, and the order of its cells."""
    for found in group_trainings(records):
        cells = group_by_cell(found)
        finite = {cell: trials for cell, trials in cells.items() if all(math.isfinite(record.final) for record in trials)}
        title = f"{title_group(found)}: "
        if not any(math.isfinite(record.final) for record in found):
            yield f"**{title}no cell ended with a finite value.**"
            continue
        below = claim_no_better(title, finite, len(cells))
        order = claim_order("" if below else title, cells, finite)
        yield f"{below} {order[0].upper() if order.startswith('no ') else order[0]}{order[1:]}" if below else order


def claim_no_better(title: str, finite: Cells, looks: int) -> str:
    """Returns that nothing beats the best baseline on the test data; "" if something does, or if no baseline was measured there.

    Args:
        title: The name of the task.
        finite: The trainings of the cells that ended with finite values.
        looks: The number of all trained cells.
    """
    name, limit = find_baseline(finite)
    if not name or find_better(finite, looks):
        return ""
    finals = [record.final for trials in finite.values() for record in trials]
    worse = all(value < limit if is_higher(finite) else value > limit for value in finals)
    nothing = "nothing beats" if worse else "nothing is shown to beat"
    return f"**{title}{nothing} the best baseline without a recurrent layer**, {name}, {format_number(limit)} on the test data."


def is_higher(cells: Cells) -> bool:
    """Returns whether higher is better."""
    return next(iter(cells.values()))[0].higher


def find_baseline(cells: Cells) -> tuple[str, float]:
    """Returns the name and the value of the best baseline that was measured on the test data; ("", nan) without any."""
    known = {name: value for trials in cells.values() for record in trials for name, value in record.baselines.items()}
    if not known:
        return "", math.nan
    best = (max if is_higher(cells) else min)(known, key=lambda name: known[name])
    return best, known[best]


def find_better(finite: Cells, looks: int = 0) -> list[str]:
    """Returns the cells whose intervals, corrected for `looks` cells or for all given ones, are on the better side of the best baseline."""
    _, limit = find_baseline(finite)
    known = {cell: (trials[0].higher, quality_ci(trials, looks or len(finite))) for cell, trials in finite.items()}
    return [cell for cell, (higher, found) in known.items() if (found.low > limit if higher else found.high < limit) and found.bounded]


def claim_order(title: str, cells: Cells, finite: Cells) -> str:
    """Returns the order of the cells: by the steps to the target if a training stopped there, else by the final values.

    Args:
        title: The name of the task, before each sentence.
        cells: The trainings of all cells.
        finite: Those of the cells that ended with finite values.
    """
    first, better, lost = next(iter(cells.values()))[0], find_better(finite, len(cells)), [cell for cell in cells if cell not in finite]
    name, limit = find_baseline(finite)
    late = [cell for cell, trials in cells.items() if any(record.end == "time" for record in trials)]
    if first.target is not None and any(record.end == "target" for trials in cells.values() for record in trials):
        parts = [claim_steps(title, cells, first.target)]
    else:
        goal = common_quality([record for trials in cells.values() for record in trials])
        whole = {cell: trials for cell, trials in finite.items() if cell not in late}
        parts = [claim_finals(title, whole, len(cells)) if whole else f"{title}no cell is ranked", claim_soonest(cells, goal)]
    parts += [f"better than the baseline {name}, {format_number(limit)}: {', '.join(better)}"] if better else []
    parts += [f"not every seed ended with a finite value: {', '.join(lost)}"] if lost else []
    parts += [f"not every seed was trained to its end: {', '.join(late)}"] if late else []
    return "; ".join(filter(None, parts)) + "."


def claim_finals(title: str, finite: Cells, looks: int) -> str:
    """Returns the best cell by its mean on the test data if its interval, corrected for `looks` cells, is apart from those of all others;
    else that none is."""
    first = next(iter(finite.values()))[0]
    known = {cell: quality_ci(trials, looks) for cell, trials in finite.items()}
    metric, found = f"{first.metric} on the test data", rank(known, first.higher)
    if found.best:
        return f"**{title}{found.best} has the best {metric}**: {list_first(found, known)}"
    if len(known) == 1:
        return f"{title}{metric}{'' if known[found.order[0]].bounded else ', one seed'}: {list_first(found, known)}"
    return f"{title}no cell is shown to be the best by {metric}: {list_first(found, known)}"


def claim_steps(title: str, cells: Cells, goal: float) -> str:
    """Returns the cell that reaches a value on the validation data in the fewest steps, if it is shown to; else that none is. Trainings end
    there, so their final values have no order."""
    known, said = rank_steps(cells, goal), f"{next(iter(cells.values()))[0].metric} {format_number(goal)} on the validation data"
    reached = {cell: sum(bool(first_reaching(record, goal)) for record in trials) for cell, trials in cells.items() if cell not in known}
    missed = ", ".join(f"{cell} ({count} of {len(cells[cell])})" for cell, count in reached.items())
    tail = f"; not with every seed: {missed}" if missed else ""
    if not known:
        return f"{title}no cell reaches {said} with every seed{tail}"
    found = rank(known, higher=False)
    if found.best:
        return f"**{title}{found.best} reaches {said} in the fewest steps**: {list_first(found, known)}{tail}"
    if len(known) == 1:
        return f"{title}steps to {said}: {list_first(found, known)}{tail}"
    return f"{title}no cell is shown to reach {said} in the fewest steps: {list_first(found, known)}{tail}"


def list_first(found: Ranking, known: Mapping[str, Estimate]) -> str:
    """Returns the value of the first name, and how the others compare with it."""
    first, *others = found.order
    if found.ranked:
        others = list(found.near) or others[:1]
        said = ", not significantly different from " if found.near else ", then "
        return f"{first} {format_mean(known[first])}{said}" + ", ".join(f"{cell} {format_mean(known[cell])}" for cell in others)
    return ", ".join(f"{cell} {format_mean(known[cell])}" for cell in found.order) + " (too few seeds for an interval)" * bool(others)


def claim_soonest(cells: Cells, goal: float | None) -> str:
    """Returns which cell reaches the common quality in the fewest steps; "" if none is shown to."""
    known = {} if goal is None else rank_steps(cells, goal)
    best = rank(known, higher=False).best if known and goal is not None else ""
    if not best or goal is None:
        return ""
    return f"{best} reaches {format_number(goal)} on the validation data in the fewest steps, {format_mean(known[best])}"


def rank_steps(cells: Cells, goal: float) -> dict[str, Estimate]:
    """Returns the steps to a value on the validation data of each cell that reaches it with every seed, corrected for all cells."""
    points = {cell: [first_reaching(record, goal) for record in trials] for cell, trials in cells.items()}
    reached = [cell for cell, found in points.items() if all(point and point.step for point in found)]
    return {cell: steps_ci(cells[cell], goal, len(cells)) for cell in reached}

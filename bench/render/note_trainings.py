"""Judges statements of the study note about trainings by published records."""

import math
from collections.abc import Sequence
from statistics import mean, median

from bench.analysis.mean_ci import mean_ci
from bench.analysis.median_ci import Estimate
from bench.analysis.ranking import rank
from bench.analysis.training_metrics import common_quality, group_by_cell, quality_ci, steps_ci
from bench.records import Records
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.render.formatting import format_number
from bench.render.note_evidence import Evidence, Judge, Verdict, find_run
from bench.render.published import Published
from bench.render.training_claims import find_better
from bench.render.training_report import format_mean, list_jacobian_growth

TASKS = ("adding", "counting", "digits", "recommend")
"""The tasks on which it is asked what moves a unit."""
ALIKE = 0.1
"""The largest share by which a metric may be worse and still be as good."""
GAP, BY_HAND = "gap, training - test", "set by hand: off after 100,000 up and down"


def find_training(runs: Sequence[Published], task: str, cells: Sequence[str]) -> Published | None:
    """Returns the newest run that trained all of some cells on a task, at equal width."""
    return find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_trainings(records, task)})


def list_trainings(records: Records, task: str) -> list[TrainingRecord]:
    """Returns the trainings of a task at equal width, clipped as by default; of the recommender, those on today's click stream."""
    known = [r for r in records.training if r.trial.task == task and r.trial.equal == "hidden" and r.sizes.get("clip", 1.0) == 1.0]
    return [r for r in known if task != "recommend" or "themes" in r.sizes.get("data", "")]


def judge_neighbours(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a unit of MinimalRNN is moved by its neighbours less than one of GRU and LSTM, on every task."""
    cells, said, verdicts, used = ("minimal", "gru", "lstm"), [], set[str](), None
    for task in TASKS:
        run = find_run(runs, lambda records, task=task: {*cells} <= find_neighbours(records, task).keys())  # type: ignore[misc]
        if run:
            found, used = find_neighbours(run.records, task), run
            said.append(f"{task} {', '.join(f'{cell} {found[cell].value:.1%}' for cell in cells)}")
            verdicts.add(rank({cell: found[cell] for cell in cells}, higher=False).best)
    return (
        ("; ".join(said), "yes" if verdicts == {"minimal"} else "no" if verdicts & {"gru", "lstm"} else "not shown", used) if used else None
    )


def list_learned(records: Records, task: str) -> list[LearnedRecord]:
    """Returns the analysed layers of a task at equal width; none of a run without the default limit on the gradient's norm."""
    return [r for r in records.learned if r.trial.task == task and r.trial.equal == "hidden"] if list_trainings(records, task) else []


def find_neighbours(records: Records, task: str) -> dict[str, Estimate]:
    """Returns the share of a unit's update that comes from its neighbours, by cell."""
    known = list_learned(records, task)
    shares = {cell: [r.neighbours for r in known if r.trial.cell == cell] for cell in {r.trial.cell for r in known}}
    return {cell: mean_ci(values, 3) for cell, values in shares.items()}


def judge_noise(kind: str) -> Judge:
    """Returns the judge of "MinimalRNN and CFN bear noise better than GRU and LSTM" on the adding problem, with noise of 0.3 deviations.

    Args:
        kind: "inputs" or "states".
    """
    cells = ("minimal", "cfn", "gru", "lstm")

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_noise(records)})
        if not run:
            return None
        by_cell = {cell: [math.log(r.noise[f"{kind} 0.3"] / r.noise["none"]) for r in list_noise(run.records, cell)] for cell in cells}
        found = {cell: mean_ci(values, len(cells)) for cell, values in by_cell.items()}
        factors = ", ".join(f"{cell} {math.exp(mean.value):.0f}" for cell, mean in found.items())
        words = f"adding: the error grows by a factor of {factors} with noise of 0.3 deviations in the {kind}"
        if not all(mean.bounded for mean in found.values()):
            return f"{words} (one seed: no interval)", "not shown", run
        small, large = max(found[c].high for c in cells[:2]), min(found[c].low for c in cells[2:])
        reverse = max(found[c].high for c in cells[2:]) < max(found[c].low for c in cells[:2])
        return words, "yes" if small < large else "no" if reverse else "not shown", run

    return judge


def list_noise(records: Records, cell: str = "") -> list[LearnedRecord]:
    """Returns the analysed layers of the adding problem that learned it, of one cell or of all."""
    return [r for r in list_learned(records, "adding") if cell in ("", r.trial.cell) and r.noise["none"] > 0]


def judge_quality(task: str) -> Judge:
    """Returns the judge of "MinimalRNN is as good as GRU and LSTM" on a task: its interval lies at most ALIKE below theirs, or where
    trainings stop at a target, all of them reach it."""
    cells = ("minimal", "gru", "lstm")

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_training(runs, task, cells)
        if not run:
            return None
        known = {cell: found for cell, found in group_by_cell(list_trainings(run.records, task)).items() if cell in cells}
        means = {cell: quality_ci(found, len(cells)) for cell, found in known.items()}
        first = known["minimal"][0]
        words = f"{first.metric} " + ", ".join(f"{cell} {format_mean(means[cell])}" for cell in cells)
        reached = {cell: all(record.end == "target" for record in found) for cell, found in known.items()}
        if all(reached.values()):
            goal = common_quality(known["minimal"])
            steps = ", ".join(f"{cell} {format_number(steps_ci(known[cell], goal).value)}" for cell in cells) if goal is not None else ""
            return f"every seed reaches the target; steps {steps}", "yes", run
        if any(not mean.bounded for mean in means.values()):
            return f"{words} (one seed: no interval)", "not shown", run
        mine, others = means["minimal"], [means[cell] for cell in cells[1:]]
        near = all(mine.low >= (1 - ALIKE) * other.high if first.higher else mine.high <= (1 + ALIKE) * other.low for other in others)
        worse = any(mine.high < other.low if first.higher else mine.low > other.high for other in others)
        return words, "yes" if near else "no" if worse else "not shown", run

    return judge


def judge_depth(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a deeper Φ helps: minimal_deep against minimal on the digits."""
    run = find_training(runs, "digits", ("minimal", "minimal_deep"))
    if not run:
        return None
    known = group_by_cell(list_trainings(run.records, "digits"))
    means = {cell: quality_ci(known[cell], 2) for cell in ("minimal", "minimal_deep")}
    ranking = rank(means, higher=True)
    words = "digits, accuracy: " + ", ".join(f"{cell} {format_mean(mean)}" for cell, mean in means.items())
    verdict: Verdict = "yes" if ranking.best == "minimal_deep" else "no" if ranking.best else "not shown"
    return words, verdict, run


def judge_counting(runs: Sequence[Published]) -> Evidence | None:
    """Judges that an LSTM counts and a GRU can't, by weights set by hand; what trainings count to is beside it."""
    run = find_run(runs, lambda records: {"lstm", "gru"} <= {r.trial.cell for r in records.training if BY_HAND in r.extras})
    if not run:
        return None
    cells = group_by_cell(list_trainings(run.records, "counting"))
    off = {cell: found[0].extras[BY_HAND] for cell, found in cells.items() if BY_HAND in found[0].extras}
    learned = ", ".join(f"{cell} {median(r.extras['counts to'] for r in cells[cell]):.0f}" for cell in off)
    words = ", ".join(f"{cell} {format_number(value)}" for cell, value in off.items())
    others = all(value >= 0.5 for cell, value in off.items() if cell != "lstm")
    return (
        f"off after 100,000 up and down, set by hand: {words}; trained, counts to {learned} in the median",
        ("yes" if off["lstm"] == 0 and others else "no"),
        run,
    )


def judge_small_data(runs: Sequence[Published]) -> Evidence | None:
    """Judges that the GRU overfits less than the LSTM on few examples, by the gap between training and test."""
    run = find_run(
        runs, lambda records: {"gru", "lstm"} <= {r.trial.cell for r in records.training if GAP in r.extras and r.trial.examples}
    )
    if not run:
        return None
    fewest = min(r.trial.examples for r in run.records.training if r.trial.examples)
    cells = group_by_cell(r for r in run.records.training if r.trial.examples == fewest)
    means = {cell: mean_ci([r.extras[GAP] for r in cells[cell]], 2) for cell in ("gru", "lstm")}
    tests = ", ".join(f"{cell} {format_mean(quality_ci(cells[cell]))}" for cell in means)
    words = f"{fewest} examples, gap {', '.join(f'{cell} {format_mean(mean)}' for cell, mean in means.items())}; accuracy {tests}"
    ranking = rank(means, higher=False)
    return words, "yes" if ranking.best == "gru" else "no" if ranking.best else "not shown", run


def judge_explosion(runs: Sequence[Published]) -> Evidence | None:
    """Judges that without clipping vanilla fails by exploding gradients: it learns nothing, and its largest norm is a hundred times the
    GRU's. Under ten times it is none."""
    cells = ("vanilla", "gru")
    run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_unclipped(records)})
    if not run:
        return None
    found = {cell: [r for r in list_unclipped(run.records) if r.trial.cell == cell] for cell in cells}
    largest = {cell: median(r.largest for r in known) for cell, known in found.items()}
    words = ", ".join(f"{cell} {value:.3g}" for cell, value in largest.items())
    failed = not find_better({"vanilla": found["vanilla"]})
    times = largest["vanilla"] / largest["gru"]
    ends = "it learns nothing" if failed else "it learns"
    verdict: Verdict = "yes" if failed and times > 100 else "no" if not failed or times < 10 else "not shown"
    return f"adding without clipping, largest gradient norm {words}; vanilla: {ends}", verdict, run


def list_unclipped(records: Records) -> list[TrainingRecord]:
    """Returns the trainings of the adding problem without a limit on the gradient's norm."""
    return [r for r in records.training if r.trial.task == "adding" and r.sizes.get("clip") == "none"]


def judge_vanilla(runs: Sequence[Published]) -> Evidence | None:
    """Judges that vanilla doesn't bridge 200 steps where gated cells do."""
    cells = ("vanilla", "minimal", "gru", "lstm")
    run = find_training(runs, "adding", cells)
    if not run:
        return None
    known = group_by_cell(list_trainings(run.records, "adding"))
    solved = {cell: [record.end == "target" for record in known[cell]] for cell in cells}
    words = ", ".join(f"{cell} {sum(found)} of {len(found)}" for cell, found in solved.items())
    shares = {cell: sum(found) / len(found) for cell, found in solved.items()}
    least = min(shares[cell] for cell in cells[1:])
    verdict: Verdict = "yes" if not shares["vanilla"] and least == 1 else "no" if shares["vanilla"] >= least else "not shown"
    return f"adding, seeds that reach the target: {words}", verdict, run


def judge_jacobian(runs: Sequence[Published]) -> Evidence | None:
    """Judges that training makes gradients reach further: the input-output Jacobian shrinks less per step at the end than at the start."""
    cells = ("minimal", "gru", "lstm")
    run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_trainings(records, "adding") if r.jacobians})
    if not run:
        return None
    trained = [r for r in list_trainings(run.records, "adding") if r.jacobians]
    known = {cell: [list_jacobian_growth(r) for r in trained if r.trial.cell == cell] for cell in cells}
    ends = {cell: [(at[0], at[-1]) for at in found if at[0] is not None and at[-1] is not None] for cell, found in known.items()}
    words = ", ".join(
        f"{cell} {mean(a for a, _ in found):+.3f} to {mean(b for _, b in found):+.3f}" for cell, found in ends.items() if found
    )
    gains = [mean_ci([b - a for a, b in found], len(cells)) if found else None for found in ends.values()]
    further = all(gain and gain.bounded and gain.low > 0 for gain in gains)
    nearer = any(gain and gain.bounded and gain.high < 0 for gain in gains)
    single = "" if all(gain and gain.bounded for gain in gains) else " (one seed: no interval)"
    return f"adding, nats a step from start to end: {words}{single}", "yes" if further else "no" if nearer else "not shown", run


def judge_wave(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a wave equation classifies vowels as a recurrent network does: better than a constant answer."""
    run = find_training(runs, "vowels", ("wave",))
    if not run:
        return None
    cells = group_by_cell(list_trainings(run.records, "vowels"))
    words = ", ".join(f"{cell} {format_mean(quality_ci(found))}" for cell, found in cells.items())
    wave, first = quality_ci(cells["wave"]), cells["wave"][0]
    learned = wave.bounded and all(wave.low > limit for limit in (*first.baselines.values(), *first.expected.values()))
    return f"accuracy {words}", "yes" if learned else "not shown", run

"""Judges statements of the study note about trainings by published records."""

from collections.abc import Mapping, Sequence
from statistics import median

from bench.analysis.median_ci import Estimate
from bench.analysis.ranking import rank
from bench.analysis.training_metrics import COUNTS, GAP, extra_ci, group_by_cell, metric_ci, quality_ci, steps_ci
from bench.records import Records
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.render.formatting import format_number
from bench.render.note_evidence import Evidence, Judge, Verdict, find_run
from bench.render.published import Published
from bench.render.training_claims import find_better
from bench.render.training_report import format_mean

TASKS = ("adding", "counting", "digits", "recommend")
"""The tasks on which it is asked what moves a unit."""
ALIKE = 0.1
"""The largest share by which a metric may be worse and still be as good."""
EXPLODED = 100
"""A gradient norm that is over this many times the GRU's has exploded."""
BY_HAND = "set by hand: off after 100,000 up and down"


def find_training(runs: Sequence[Published], task: str, cells: Sequence[str]) -> Published | None:
    """Returns the newest run that trained all of some cells on a task."""
    return find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_trainings(records, task)})


def list_trainings(records: Records, task: str) -> list[TrainingRecord]:
    """Returns the trainings of a task, clipped as by default; of the recommender, those on real ratings. They are those at equal
    width or, in a run without any, at equal parameters."""
    known = [r for r in records.training if r.trial.task == task and r.sizes.get("clip", 1.0) == 1.0]
    kept = [r for r in known if task != "recommend" or "ratings" in r.sizes.get("data", "")]
    return [r for r in kept if r.trial.equal == "hidden"] or kept


def list_learned(records: Records, task: str) -> list[LearnedRecord]:
    """Returns the analysed layers of the trainings that `list_trainings` returns."""
    keys = {r.trial.key for r in list_trainings(records, task)}
    return [r for r in records.learned if r.trial.key in keys]


def judge_neighbours(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a unit of MinimalRNN is moved by its neighbours less than one of GRU and LSTM, on every task."""
    cells, said, verdicts, used = ("minimal", "gru", "lstm"), list[str](), set[str](), list[Published]()
    for task in TASKS:
        run = find_run(runs, lambda records, task=task: {*cells} <= find_neighbours(records, task).keys())  # type: ignore[misc]
        if run:
            found = find_neighbours(run.records, task)
            used += [] if run in used else [run]
            single = "" if all(found[cell].bounded for cell in cells) else " (one seed: no interval)"
            said.append(f"{task} {', '.join(f'{cell} {found[cell].value:.1%}' for cell in cells)}{single}")
            verdicts.add(rank({cell: found[cell] for cell in cells}, higher=False).best)
    verdict: Verdict = "yes" if verdicts == {"minimal"} else "no" if verdicts & {"gru", "lstm"} else "not shown"
    return ("; ".join(said), verdict, *used) if used else None


def find_neighbours(records: Records, task: str) -> dict[str, Estimate]:
    """Returns the share of a unit's update that comes from its neighbours, by cell."""
    known = list_learned(records, task)
    shares = {cell: [r.neighbours for r in known if r.trial.cell == cell] for cell in {r.trial.cell for r in known}}
    return {cell: metric_ci(values, 3, share=True) for cell, values in shares.items()}


def judge_noise(cell: str, noise: str) -> Judge:
    """Returns the judge of "a cell bears noise better than GRU and LSTM" on the adding problem: its error with noise is less.

    Args:
        cell: The cell.
        noise: The noise, as records name it: "inputs 0.3".
    """
    cells = (cell, "gru", "lstm")
    kind, level = noise.split()

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_learned(records, "adding") if noise in r.noise})
        if not run:
            return None
        errors = {name: [r.noise[noise] for r in list_noise(run.records, name)] for name in cells}
        means = {name: metric_ci(values, len(cells)) for name, values in errors.items() if values}
        said = [f"{name} {format_mean(means[name])}" if name in means else f"{name} not learned" for name in cells]
        counts = ", ".join(str(len(values)) for values in errors.values())
        words = f"adding, error with noise of {level} deviations in the {kind}: {', '.join(said)}; {counts} seeds that learned the task"
        if len(means) < len(cells) or not all(mean.bounded for mean in means.values()):
            return words, "not shown", run
        mine, others = means[cell], [means[name] for name in cells[1:]]
        better, worse = all(mine.high < other.low for other in others), any(mine.low > other.high for other in others)
        return words, "yes" if better else "no" if worse else "not shown", run

    return judge


def list_noise(records: Records, cell: str) -> list[LearnedRecord]:
    """Returns the analysed layers of a cell that learned the adding problem: their trainings ended at the target."""
    keys = {r.trial.key for r in list_trainings(records, "adding") if r.end == "target"}
    return [r for r in records.learned if r.trial.cell == cell and r.trial.key in keys]


def judge_quality(task: str) -> Judge:
    """Returns the judge of "MinimalRNN is as good as GRU and LSTM" on a task: its interval lies at most ALIKE below theirs. Where trainings
    stop at a target, steps and seeds decide (`judge_steps`)."""
    cells = ("minimal", "gru", "lstm")

    def judge(runs: Sequence[Published]) -> Evidence | None:
        run = find_training(runs, task, cells)
        if not run:
            return None
        known = {cell: found for cell, found in group_by_cell(list_trainings(run.records, task)).items() if cell in cells}
        if any(record.end == "target" for found in known.values() for record in found):
            return *judge_steps({cell: known[cell] for cell in cells}), run
        means = {cell: quality_ci(found, len(cells)) for cell, found in known.items()}
        first = known["minimal"][0]
        words = f"{first.metric} " + ", ".join(f"{cell} {format_mean(means[cell])}" for cell in cells)
        if any(not mean.bounded for mean in means.values()):
            return f"{words} (one seed: no interval)", "not shown", run
        mine, others = means["minimal"], [means[cell] for cell in cells[1:]]
        near = all(mine.low >= (1 - ALIKE) * other.high if first.higher else mine.high <= (1 + ALIKE) * other.low for other in others)
        worse = any(mine.high < other.low if first.higher else mine.low > other.high for other in others)
        return words, "yes" if near else "no" if worse else "not shown", run

    return judge


def judge_steps(known: Mapping[str, Sequence[TrainingRecord]]) -> tuple[str, Verdict]:
    """Returns the seeds and the steps to the target in words, and whether the first cell is as good as the others: it reaches the target
    with every seed, and in no more steps, a tie included. It isn't if it needs more steps by intervals, or reaches the target with no seed
    where another cell does with every seed.

    Args:
        known: The trainings of each cell.
    """
    reached = {cell: [r for r in found if r.end == "target"] for cell, found in known.items()}
    means = {cell: steps_ci(found, found[0].target, len(known)) for cell, found in reached.items() if found and found[0].target is not None}
    said = [f"{cell} {len(found)} of {len(known[cell])}" for cell, found in reached.items()]
    words = f"seeds that reach the target: {', '.join(said)}; steps {', '.join(f'{cell} {format_mean(m)}' for cell, m in means.items())}"
    mine, *others = known
    if min(map(len, known.values())) < 2:
        return f"{words} (one seed: no interval)", "not shown"
    if mine not in means:
        return words, "no" if any(len(reached[cell]) == len(known[cell]) for cell in others) else "not shown"
    if any(means[cell].bounded and means[mine].low > means[cell].high for cell in others if cell in means):
        return words, "no"
    return words, "yes" if len(reached[mine]) == len(known[mine]) else "not shown"


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


def judge_counters(runs: Sequence[Published]) -> Evidence | None:
    """Judges that set by hand an LSTM counts exactly, and a GRU with a constant gate doesn't."""
    run = find_run(runs, lambda records: {"lstm", "gru"} <= {r.trial.cell for r in records.training if BY_HAND in r.extras})
    if not run:
        return None
    known = group_by_cell(record for record in run.records.training if BY_HAND in record.extras)
    cells = {cell: found[0].extras for cell, found in known.items()}
    off = {name: {cell: extras[name] for cell, extras in cells.items()} for name in cells["gru"] if name.startswith("set by hand: ")}
    words = "; ".join(
        f"{name.removeprefix('set by hand: ')}: {', '.join(f'{cell} {format_number(value)}' for cell, value in found.items())}"
        for name, found in off.items()
    )
    exact = all(found["lstm"] == 0 for found in off.values())
    return words, "yes" if exact and off[BY_HAND]["gru"] >= 0.5 else "no", run


def judge_counting(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a trained LSTM counts further than a trained GRU."""
    cells = ("lstm", "gru")
    run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_trainings(records, "counting") if COUNTS in r.extras})
    if not run:
        return None
    known = group_by_cell(list_trainings(run.records, "counting"))
    means = {cell: extra_ci(known[cell], COUNTS, len(cells)) for cell in cells}
    best = rank(means, higher=True).best
    words = f"counts to {', '.join(f'{cell} {format_mean(mean)}' for cell, mean in means.items())}, of {4 * known['gru'][0].sizes['N']}"
    return words, "yes" if best == "lstm" else "no" if best else "not shown", run


def judge_small_data(runs: Sequence[Published]) -> Evidence | None:
    """Judges that the GRU overfits less than the LSTM on few examples, by the gap between training and test."""
    run = find_run(
        runs, lambda records: {"gru", "lstm"} <= {r.trial.cell for r in records.training if GAP in r.extras and r.trial.examples}
    )
    if not run:
        return None
    fewest = min(r.trial.examples for r in run.records.training if r.trial.examples)
    cells = group_by_cell(r for r in run.records.training if r.trial.examples == fewest)
    means = {cell: extra_ci(cells[cell], GAP, 2) for cell in ("gru", "lstm")}
    tests = ", ".join(f"{cell} {format_mean(quality_ci(cells[cell]))}" for cell in means)
    words = f"{fewest} examples, gap {', '.join(f'{cell} {format_mean(mean)}' for cell, mean in means.items())}; accuracy {tests}"
    ranking = rank(means, higher=False)
    return words, "yes" if ranking.best == "gru" else "no" if ranking.best else "not shown", run


def judge_explosion(runs: Sequence[Published]) -> Evidence | None:
    """Judges that without clipping vanilla fails by exploding gradients: it learns nothing, and its largest norm is over EXPLODED times the
    GRU's. Under a tenth of that it is none. Whether it fails with clipping too is beside it."""
    cells = ("vanilla", "gru")
    run = find_run(runs, lambda records: {*cells} <= {r.trial.cell for r in list_unclipped(records)})
    if not run:
        return None
    found = {cell: [r for r in list_unclipped(run.records) if r.trial.cell == cell] for cell in cells}
    largest = {cell: median(r.largest for r in known) for cell, known in found.items()}
    words = ", ".join(f"{cell} {value:.3g}" for cell, value in largest.items())
    failed, times = not find_better({"vanilla": found["vanilla"]}), largest["vanilla"] / largest["gru"]
    single = min(map(len, found.values())) < 2
    verdict: Verdict = "yes" if failed and times > EXPLODED else "no" if not failed or times < EXPLODED / 10 else "not shown"
    verdict = "not shown" if single else verdict
    ends = f"without a limit on the norm it {'learns nothing' if failed else 'learns'}"
    clipped = find_training(runs, "adding", ("vanilla",))
    if clipped:
        known = [r for r in list_trainings(clipped.records, "adding") if r.trial.cell == "vanilla"]
        ends += f", with a limit of 1 it {'learns' if find_better({'vanilla': known}) else 'learns nothing'}"
    words = f"adding, largest gradient norm {words}, {times:.0f} times; vanilla: {ends}"
    used = [run, clipped] if clipped else [run]
    return words, verdict, *used


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
    least, single = min(shares[cell] for cell in cells[1:]), min(map(len, solved.values())) < 2
    verdict: Verdict = "yes" if not shares["vanilla"] and least == 1 else "no" if shares["vanilla"] >= least else "not shown"
    verdict = "not shown" if single else verdict
    return f"adding, seeds that reach the target: {words}", verdict, run


def judge_wave(runs: Sequence[Published]) -> Evidence | None:
    """Judges that a wave equation classifies vowels as a recurrent network does: better than a constant answer."""
    run = find_training(runs, "vowels", ("wave",))
    if not run:
        return None
    cells = group_by_cell(list_trainings(run.records, "vowels"))
    words = ", ".join(f"{cell} {format_mean(quality_ci(found))}" for cell, found in cells.items())
    wave, first = quality_ci(cells["wave"]), cells["wave"][0]
    limits = {**first.baselines, **first.expected}
    words += "".join(f"; {name} {format_number(value)}" for name, value in limits.items())
    learned = wave.bounded and limits and wave.low > max(limits.values())
    return f"accuracy on synthetic vowels: {words}", "yes" if learned else "not shown", run

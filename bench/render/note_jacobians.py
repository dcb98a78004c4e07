"""Judges statements of the study note about input-output Jacobians of trained layers by published records."""

from collections.abc import Sequence
from statistics import mean

from bench.analysis.mean_ci import mean_ci
from bench.analysis.ranking import rank
from bench.records import Records
from bench.render.gradient_report import format_growth
from bench.render.note_evidence import Evidence, find_run
from bench.render.note_trainings import list_trainings, list_unclipped
from bench.render.published import Published
from bench.render.training_report import list_jacobian_growth


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


def judge_reach(runs: Sequence[Published]) -> Evidence | None:
    """Judges that once trained, MinimalRNN's input-output Jacobian reaches further back than GRU's and LSTM's: it shrinks less per step.
    Only a run that has it for several seeds counts, with or without a limit on the gradient's norm."""
    cells = ("minimal", "gru", "lstm")
    run = find_run(runs, lambda records: all(len(find_final_growth(records).get(cell, ())) > 1 for cell in cells))
    if not run:
        return None
    found = find_final_growth(run.records)
    means = {cell: mean_ci(found[cell], len(cells)) for cell in cells}
    best = rank(means, higher=True).best
    less = any(means["minimal"].high < means[cell].low for cell in cells[1:])
    clip = "without a limit on the gradient's norm" if list_unclipped(run.records) else "with a limit of 1 on the gradient's norm"
    words = f"adding, {clip}, nats a step: {', '.join(f'{cell} {format_growth(mean)}' for cell, mean in means.items())}"
    return words, "yes" if best == "minimal" else "no" if less else "not shown", run


def find_final_growth(records: Records) -> dict[str, list[float]]:
    """Returns the growth of the input-output Jacobian at the end of each seed's training on the adding problem, by cell."""
    found: dict[str, list[float]] = {}
    for record in list_trainings(records, "adding") or list_unclipped(records):
        growth = list_jacobian_growth(record)[-1] if record.jacobians else None
        if growth is not None:
            found.setdefault(record.trial.cell, []).append(growth)
    return found

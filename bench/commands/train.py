"""Implements `python -m bench train TASK`."""

from pathlib import Path
from typing import Any

import click

from bench.commands.arguments import CLIP, DEVICE, RATES, SIZE, Choice, Size
from bench.commands.command import command, list_option
from bench.commands.run_options import run_options
from bench.errors import UsageError
from bench.harness.run import RunOptions, run_experiment
from bench.studies.training import TASKS, load_task


@command(renamed={"--length": "--seq-lens"})
@click.argument("task", type=Choice(TASKS, "task"), metavar="TASK")
@list_option("--cells", default="", metavar="A,B", help="Cells of `bench list`, all, or your own as FILE.py:NAME. [those of the task]")
@click.option("--seeds", type=SIZE, default="1", metavar="N", help="Number of seeds for each cell. [1]")
@click.option(
    "--equal",
    type=Choice(("hidden", "parameters", "both"), "--equal"),
    metavar="WHAT",
    help="Train all cells at the same hidden width, at the same number of parameters, or at both. [hidden; vowels parameters]",
)
@click.option(
    "--hidden",
    type=SIZE,
    metavar="H",
    help="Hidden width; with equal parameters, that of the gru (vowels: the wave). For recommend also the embedding width. "
    "[64; counting 16, vowels 1024]",
)
@click.option(
    "--seq-lens",
    "seq_len",
    type=Size(least=2),
    metavar="T",
    help="Steps of a sequence: adding, masked, copy (lag), counting (N), clicks, vowels. [the task's]",
)
@click.option("--steps", type=SIZE, metavar="N", help="Largest number of training steps. [the task's]")
@list_option("--rates", type=RATES, metavar="A,B", help="Learning rates of Adam; of several, a search takes the best. [the task's]")
@click.option("--clip", type=CLIP, metavar="NORM", help="Largest norm of the gradient, or none for no limit. [1]")
@click.option("--data", type=Path, metavar="FILE", help="For recommend: a ratings.dat. [a synthetic click stream]")
@click.option(
    "--items",
    type=Size(least=100),
    metavar="N",
    help="For recommend without --data: items of the click stream. With millions, train one cell at one rate at a time. [5000]",
)
@click.option("--users", type=Size(least=20), metavar="N", help="For recommend without --data: users of the click stream. [1500]")
@click.option("--device", type=DEVICE, metavar="NAME", help="cpu or cuda. [cuda if available]")
@run_options
def train(
    task: str, cells: str, seeds: int, equal: str | None, hidden: int | None, seq_len: int | None, steps: int | None,
    rates: tuple[float, ...] | None, clip: float | None, data: Path | None, items: int | None, users: int | None, device: str | None,
    options: RunOptions,
) -> None:  # fmt: skip
    """Train cells on TASK: adding, masked, copy, counting, digits, mnist1d, sizes, recommend or vowels. Write records and a report. The
    trainings of different cells are interleaved."""
    name = task
    if name != "recommend" and (data or items or users):
        raise UsageError(f"--data, --items and --users are for recommend: leave them out of {name}")
    if data and (items or users or seq_len):
        raise UsageError("--items, --users and --seq-lens are of the click stream: leave them out, or leave out --data")
    if name in ("digits", "mnist1d", "sizes") and seq_len:
        raise UsageError(f"the sequences of {name} have a length of their own: leave out --seq-lens")
    changes: dict[str, Any] = {"data": data} if data else {}
    sizes = {"H": hidden, "T": seq_len, "steps": steps, "vocabulary": items, "users": users, "rates": rates, "clip": clip}
    changes |= {key: value for key, value in sizes.items() if value is not None}
    from bench.harness.device import resolve_device

    kind = resolve_device(device or "")
    import cells as tree
    from bench.commands.cell_arguments import check_widths, parse_cells
    from bench.harness.training_experiment import TrainingExperiment
    from bench.studies.training.training_plan import EQUAL, TrainingPlan
    from kernels.derive.plan import plan as make_plan

    chosen = load_task(name, **changes)
    named = parse_cells(cells) if cells else chosen.cells
    square = [cell for cell in named if make_plan(tree.load(cell)).elementwise_input]
    if square:
        raise UsageError(f"--cells {square[0]} uses its input unit by unit, and so takes none of another width: leave it out")
    shared = EQUAL if equal == "both" else (equal or chosen.equal,)
    plan = TrainingPlan(chosen, named, seeds, shared)
    check_widths(named, chosen.D, chosen.H)
    fixed = [cell for cell in named if make_plan(tree.load(cell)).fixed_width] if "parameters" in shared else []
    if fixed:
        raise UsageError(f"the grid of {fixed[0]} has one width, and so no number of parameters to match: take --equal hidden")
    for variant, trial in plan.trials():
        if why := variant.unfit(trial.cell, trial.H):
            raise UsageError(why)
    chosen.batch(0, 0)  # reports invalid data before a folder is made
    run_experiment(TrainingExperiment(plan, kind), options)

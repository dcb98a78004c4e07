"""`python -m bench train TASK`."""

import datetime
import math
import shlex
import sys
from pathlib import Path
from typing import Any

import click

from bench.errors import UsageError
from bench.harness.settings import choice, choices, duration, size
from bench.studies.training import TASKS, load


@click.command()
@click.argument("task", metavar="TASK")
@click.option("--cells", default="", metavar="A,B", help="Cells, by name. [those the task is about]")
@click.option("--seeds", default="1", metavar="N", help="How many seeds each cell is trained from. [1]")
@click.option("--equal", default="hidden", metavar="WHAT", help="What all cells share: hidden (width), parameters, or both. [hidden]")
@click.option(
    "--hidden",
    default="",
    metavar="H",
    help="Hidden width; with equal parameters, that of the gru. Of recommend, also the embedding's. [64; counting 16, vowels 1024]",
)
@click.option(
    "--length", default="", metavar="T", help="Steps of a sequence: adding, masked, copy (lag), counting (N), clicks, vowels. [the task's]"
)
@click.option("--steps", default="", metavar="N", help="Steps of training, at most. [the task's]")
@click.option("--rates", default="", metavar="A,B", help="Learning rates of Adam; of several, a search takes the best. [the task's]")
@click.option("--data", type=Path, metavar="FILE", help="recommend: a ratings.dat. [a click stream, made up]")
@click.option(
    "--items",
    default="",
    metavar="N",
    help="recommend, without --data: items of the click stream; of millions, take one cell and one rate at a time. [5000]",
)
@click.option("--users", default="", metavar="N", help="recommend, without --data: users of the click stream. [1500]")
@click.option("--device", default="", metavar="NAME", help="cpu or cuda. [cuda where there is one]")
@click.option("--budget", default="", metavar="TIME", help="Train for 90s, 5m or 1h in all, shared out evenly among the seeds. [no limit]")
@click.option("--out", type=Path, metavar="FOLDER", help="A new folder for the results. [reports/<date>-<device>-<task>]")
@click.option("--resume", is_flag=True, help="Go on with the run in --out, from its checkpoints.")
def train(
    task: str, cells: str, seeds: str, equal: str, hidden: str, length: str, steps: str, rates: str, data: Path | None, items: str,
    users: str, device: str, budget: str, out: Path | None, resume: bool,
) -> None:  # fmt: skip
    """Train cells on TASK: adding, masked, copy, counting, digits, mnist1d, sizes, recommend or vowels. Writes records and a report; cells
    take turns."""
    name = choice(task, tuple(TASKS), "task")
    seconds = duration(budget, "--budget") if budget else math.inf
    shared = ("hidden", "parameters") if equal == "both" else (choice(equal, ("hidden", "parameters", "both"), "--equal"),)
    if name != "recommend" and (data or items or users):
        raise UsageError(f"--data, --items and --users are for recommend: leave them out of {name}")
    if data and (items or users or length):
        raise UsageError("--items, --users and --length are of the click stream: leave them out, or leave out --data")
    if name in ("digits", "mnist1d", "sizes") and length:
        raise UsageError(f"the sequences of {name} have a length of their own: leave out --length")
    changes: dict[str, Any] = {"data": data} if data else {}
    numbers = {"H": ("--hidden", hidden), "T": ("--length", length), "steps": ("--steps", steps)}
    numbers |= {"vocabulary": ("--items", items), "users": ("--users", users)}
    least = {"T": 2, "vocabulary": 100, "users": 20}
    changes |= {key: size(text, flag, least.get(key, 1)) for key, (flag, text) in numbers.items() if text}
    if rates:
        changes["rates"] = tuple(rate(part) for part in rates.split(","))
    from bench.harness.device import choose, target

    kind = choose(choice(device, ("cpu", "cuda"), "device") if device else "")
    import cells as tree
    from bench.commands.cell_arguments import headed
    from bench.harness import training_run
    from bench.studies.training.training_plan import Plan
    from kernels.derive.plan import plan as planned

    chosen = load(name, **changes)
    named = choices(cells, tree.names(), "cell") if cells else chosen.cells
    square = [cell for cell in named if planned(tree.load(cell)).elementwise_input]
    if square:
        raise UsageError(f"--cells {square[0]} uses its input unit by unit, and so takes none of another width: leave it out")
    headed(named, chosen.H)
    plan = Plan(chosen, named, size(seeds, "--seeds"), shared)
    for variant, trial in plan.trials():
        if why := variant.unfit(trial.cell, trial.H):
            raise UsageError(why)
    chosen.batch(0, 0)  # what is wrong with the data is said before a folder is made
    today = datetime.datetime.now(datetime.UTC)
    training_run.measure(
        plan, kind, target(out, kind, name, resume=resume), today, shlex.join(["python", "-m", "bench", *sys.argv[1:]]), seconds
    )


def rate(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"--rates takes positive numbers, not {text!r}: for example --rates 0.003,0.01")
    return number

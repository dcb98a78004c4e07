"""`python -m bench tune` and `campaign`: for a machine with a GPU."""

import datetime
from pathlib import Path

import click

from bench.errors import UsageError
from bench.harness.settings import DTYPES, choice, choices, duration, size
from bench.harness.suites import SUITES


@click.command()
@click.option("--suite", default="", metavar="A,B", help=f"Whose sizes to tune for: {', '.join(SUITES)}. [all, in this order]")
@click.option("--budget", default="8m", metavar="TIME", help="Begin with no more sizes after 90s, 8m or 1h. [8m]")
@click.option("--dtype", default="", metavar="NAME", help=f"Of {', '.join(DTYPES)}: tune for it alone. [those of the suites]")
@click.option("--cuts", default="16", metavar="N", help="Cuts of a pass that are tried, those first that the model ranks first. [16]")
@click.option("--out", type=Path, metavar="FOLDER", help="Where copies of the table and the times of all cuts go, too. [nowhere]")
def tune(suite: str, budget: str, dtype: str, cuts: str, out: Path | None) -> None:
    """On a GPU: time the cuts of the resident kernels and keep the fastest in kernels/tuned/. Called again, it goes on."""
    from bench.harness.device import choose
    from bench.harness.device_lock import alone
    from bench.harness.progress import say

    names = choices(suite, tuple(SUITES), "suite") if suite else tuple(SUITES)
    seconds, tried = duration(budget, "--budget"), size(cuts, "--cuts")
    only = choice(dtype, DTYPES, "dtype") if dtype else ""
    if choose("") != "cuda":
        raise UsageError("tuning needs a GPU, and torch finds none here: `bench doctor` says more")
    from bench.harness import tune

    with alone("cuda"):
        tune.run(seconds, say, tune.passes(names, only), tried, out)


@click.command()
@click.option("--budget", default="25m", metavar="TIME", help="How long it may take at most: 90s, 8m, 1h. [25m]")
@click.option("--call", default="", metavar="1|2", help="The first or the second half of the steps, which goes on where 1 ended. [both]")
@click.option("--out", type=Path, metavar="FOLDER", help="Where to write, or to go on. [reports/<date>-<device>-campaign]")
@click.option("--pack", type=Path, metavar="FILE", help="The archive of all that was found, written after every step. [FOLDER.tar.gz]")
def campaign(budget: str, call: str, out: Path | None, pack: Path | None) -> None:
    """On a GPU: its tests, tuning, then the suites, step by step, the most telling first, within a budget. Call 2 begins with what call 1
    left open in the folder: failed tests, steps that didn't end, cases without a time."""
    from bench.harness import campaign, second_call
    from bench.harness.device import choose, nickname
    from bench.harness.progress import say
    from bench.measure.environment import revision

    seconds = duration(budget, "--budget")
    number = int(choice(call, ("1", "2"), "call")) if call else None
    if choose("") != "cuda":
        raise UsageError("a campaign needs a GPU, and torch finds none here: `bench doctor` says more")
    today = datetime.datetime.now(datetime.UTC)
    folder = out or Path("reports") / f"{today:%Y-%m-%d}-{nickname('cuda')}-campaign"
    steps = second_call.steps(folder, revision()) if number == 2 else campaign.chosen(number)
    if number == 2 and (count := second_call.tables(folder)):
        say(f"{count} entries of the tables in {folder} are new here")
    if campaign.run(folder, seconds, steps, say, pack):
        raise SystemExit(1)

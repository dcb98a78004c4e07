"""Implements `python -m bench tune` and `campaign`, which need a GPU."""

import datetime
from pathlib import Path

import click

from bench.commands.arguments import DURATION, SIZE, Choice
from bench.commands.command import command, list_option
from bench.commands.run_options import wait_option
from bench.errors import UsageError
from bench.harness.settings import DTYPES
from bench.harness.suites import GPU_SUITES

KEEP = "Time nothing; store from a run which whole layers torch or newton ran faster, for backend auto. May be given several times."


@command(renamed={"--cuts": "--tilings"})
@list_option(
    "--suite",
    type=Choice(GPU_SUITES, "suite", several=True),
    metavar="A,B",
    help=f"The suites whose sizes are tuned: {', '.join(GPU_SUITES)}. [all, in this order]",
)
@click.option("--budget", type=DURATION, default="8m", metavar="TIME", help="Stop starting new sizes after 90s, 8m or 1h. [8m]")
@click.option(
    "--dtype",
    type=Choice(DTYPES, "dtype"),
    metavar="NAME",
    help=f"The only dtype to tune, one of {', '.join(DTYPES)}. [those of the suites]",
)
@click.option(
    "--tilings", type=SIZE, default="16", metavar="N", help="Tile configurations timed for each pass, fastest expected first. [16]"
)
@click.option("--out", type=Path, metavar="FOLDER", help="A folder for a copy of the table and for all measured times. [none]")
@click.option("--layers", "runs", type=Path, multiple=True, metavar="RUN", help=f"{KEEP} [no run]")
@wait_option
def tune(
    suite: tuple[str, ...] | None, budget: float, dtype: str | None, tilings: int, out: Path | None, runs: tuple[Path, ...], wait: bool
) -> None:  # fmt: skip
    """Time tile configurations of the persistent kernels on a GPU and store the fastest in kernels/tuned/. Rerun to resume."""
    if runs:
        keep_layers(runs, out)
        return
    from bench.harness.device import resolve_device
    from bench.harness.device_lock import lock_device
    from bench.harness.progress import print_line

    if resolve_device("") != "cuda":
        raise UsageError("tuning needs a GPU, and torch finds none here: `bench doctor` says more")
    from bench.harness import tune

    with lock_device("cuda", wait):
        tune.tune_passes(budget, print_line, tune.suite_passes(suite or GPU_SUITES, dtype or ""), tilings, out)


def keep_layers(runs: tuple[Path, ...], out: Path | None) -> None:
    """Writes the timed layers of runs to the tables of their devices, and copies of these tables to `out`."""
    from bench.harness import layer_table
    from bench.harness.progress import print_line

    for line in layer_table.store_layers(runs, out):
        print_line(line)


@command()
@click.option("--budget", type=DURATION, default="25m", metavar="TIME", help="Time limit of the campaign: 90s, 8m, 1h. [25m]")
@click.option(
    "--call",
    type=Choice(("1", "2"), "call"),
    metavar="1|2",
    help="Run the first or the second half of the steps; 2 resumes where 1 ended. [both]",
)
@click.option(
    "--out", type=Path, metavar="FOLDER", help="A folder for the results, which a rerun resumes. [reports/<date>-<device>-campaign]"
)
@click.option("--pack", type=Path, metavar="FILE", help="The archive of the folder, written after every step. [FOLDER.tar.gz]")
def campaign(budget: float, call: str | None, out: Path | None, pack: Path | None) -> None:
    """Run tests, tuning and suites on a GPU within a budget, most informative first. Call 2 starts with what call 1 left in the folder:
    failed tests, unfinished steps and cases without a time."""
    from bench.harness import campaign, second_call
    from bench.harness.device import device_slug, resolve_device
    from bench.harness.progress import print_line
    from bench.measure.environment import find_commit

    if resolve_device("") != "cuda":
        raise UsageError("a campaign needs a GPU, and torch finds none here: `bench doctor` says more")
    today = datetime.datetime.now(datetime.UTC)
    folder = out or Path("reports") / f"{today:%Y-%m-%d}-{device_slug('cuda')}-campaign"
    steps = second_call.choose_steps(folder, find_commit()) if call == "2" else campaign.select_steps(int(call) if call else None)
    if call == "2" and (count := second_call.add_tables(folder)):
        print_line(f"{count} entries of the tables in {folder} are new here")
    if campaign.run_campaign(folder, budget, steps, print_line, pack):
        raise SystemExit(1)

"""`python -m bench tune` and `campaign`: for a machine with a GPU."""

import datetime
from pathlib import Path

import click

from bench.settings import SettingsError, choices, duration
from bench.suites import SUITES


@click.command()
@click.option("--suite", default="", metavar="A,B", help=f"Whose sizes to tune for: {', '.join(SUITES)}. [all, in this order]")
@click.option("--budget", default="8m", metavar="TIME", help="Begin with no more sizes after 90s, 8m or 1h. [8m]")
def tune(suite: str, budget: str) -> None:
    """On a GPU: time the cuts of the resident kernels and keep the fastest in kernels/tuned/. Called again, it goes on."""
    from bench.device import choose
    from bench.lock import alone
    from bench.progress import say

    names = choices(suite, tuple(SUITES), "suite") if suite else tuple(SUITES)
    seconds = duration(budget, "--budget")
    if choose("") != "cuda":
        raise SettingsError("tuning needs a GPU, and torch finds none here: `bench doctor` says more")
    from bench import tune

    with alone("cuda"):
        tune.run(seconds, say, names)


@click.command()
@click.option("--budget", default="25m", metavar="TIME", help="How long it may take, about: 90s, 8m, 1h. [25m]")
@click.option("--out", type=Path, metavar="FOLDER", help="Where to write, or to go on. [reports/<date>-<device>-campaign]")
def campaign(budget: str, out: Path | None) -> None:
    """On a GPU: its tests, then the suites in order of worth, within a budget. Called again, it goes on."""
    from bench import campaign
    from bench.device import choose, nickname
    from bench.progress import say

    seconds = duration(budget, "--budget")
    if choose("") != "cuda":
        raise SettingsError("a campaign needs a GPU, and torch finds none here: `bench doctor` says more")
    today = datetime.datetime.now(datetime.UTC)
    folder = out or Path("reports") / f"{today:%Y-%m-%d}-{nickname('cuda')}-campaign"
    if campaign.run(folder, seconds, campaign.STEPS, say):
        raise SystemExit(1)

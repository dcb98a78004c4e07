"""Implements `python -m bench calibrate`."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import click

from bench.commands.arguments import SIZE
from bench.commands.command import command
from bench.commands.run_options import wait_option
from bench.errors import UsageError

if TYPE_CHECKING:
    from bench.analysis.verdict import Verdict


@command()
@click.option("--runs", type=SIZE, default="100", metavar="N", help="The number of comparisons. [100]")
@click.option("--slowdown", default="5%", metavar="N%", help="The planted slowdown. [5%]")
@wait_option
def calibrate(runs: int, slowdown: str, wait: bool) -> None:
    """Check the verdicts on this machine: time the same steps under several names, and a planted slowdown. Exit with code 1 if the
    verdicts are wrong too often."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", slowdown.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"--slowdown takes a percentage, not {slowdown!r}: for example --slowdown 5%")
    from bench.harness.device import resolve_device

    kind = resolve_device("")
    import torch

    from bench.harness import calibration
    from bench.harness.device_lock import lock_device
    from bench.harness.progress import show_progress
    from bench.render.terminal import open_console

    with lock_device(kind, wait), show_progress(runs) as tell:
        result = calibration.calibrate(torch.device(kind), runs, float(found[1]) / 100, tell)
    out = open_console()
    asked: tuple[tuple[str, Counter[Verdict], Verdict], ...] = (
        ("the same", result.same, "tie"),
        (f"{found[1]}% more time steps", result.slowed, "slower"),
    )
    for name, tally, wanted in asked:
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in tally.most_common())
        out.print(f"{name}: {tally[wanted]} of {result.runs} {wanted} ({verdicts})", highlight=False)
    wanted_shares = f"wanted are {calibration.TIES:.0%} ties and {calibration.FOUND:.0%} slowdowns found"
    out.print(f"{'passed' if result.passed else 'not passed'}: {wanted_shares}; largest noise floor {result.floor:.1%}", highlight=False)
    if not result.passed:
        raise SystemExit(1)

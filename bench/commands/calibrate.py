"""`python -m bench calibrate`."""

import re
from collections import Counter
from typing import TYPE_CHECKING

import click

from bench.errors import UsageError
from bench.harness.settings import size

if TYPE_CHECKING:
    from bench.analysis.verdict import Verdict


@click.command()
@click.option("--runs", default="100", metavar="N", help="How many. [100]")
@click.option("--slowdown", default="5%", metavar="N%", help="What is planted. [5%]")
def calibrate(runs: str, slowdown: str) -> None:
    """Are verdicts to be trusted here? Time the same thing under several names, and a planted slowdown; exit 1 if they aren't."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d+)?)%", slowdown.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"--slowdown takes a percentage, not {slowdown!r}: for example --slowdown 5%")
    count = size(runs, "--runs")
    from bench.harness.device import choose

    kind = choose("")
    import torch

    from bench.harness import calibration
    from bench.harness.device_lock import alone
    from bench.harness.progress import progress
    from bench.render.terminal import terminal

    with alone(kind), progress(count) as tell:
        result = calibration.calibrate(torch.device(kind), count, float(found[1]) / 100, tell)
    out = terminal()
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

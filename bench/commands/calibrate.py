"""Implements `python -m bench calibrate`."""

import re
from typing import TYPE_CHECKING

import click

from bench.commands.arguments import SIZE
from bench.commands.command import command
from bench.commands.run_options import wait_option
from bench.errors import UsageError

if TYPE_CHECKING:
    from collections import Counter

    from rich.console import Console

    from bench.analysis.verdict import Verdict
    from bench.harness.calibration import Calibration


@command()
@click.option("--runs", type=SIZE, default="40", metavar="N", help="The number of runs, each with three comparisons. [40]")
@click.option("--slowdown", default="5%", metavar="N%", help="The planted slowdown. [5%]")
@click.option("--simulate", is_flag=True, help="Simulate kinds of noise instead of timing: coverage, wrong verdicts and power of each.")
@wait_option
def calibrate(runs: int, slowdown: str, simulate: bool, wait: bool) -> None:
    """Check the verdicts on this machine: time the same steps under several names, and a planted slowdown, as a run does. Exit with code 1
    unless the verdicts are shown to be right."""
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,3})?)%", slowdown.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"--slowdown takes a percentage, not {slowdown!r}: for example --slowdown 5%")
    from bench.harness.device import resolve_device
    from bench.render.terminal import open_console

    kind = resolve_device("")
    if simulate:
        print_simulations(open_console(), kind, runs)
        return
    import torch

    from bench.harness import calibration
    from bench.harness.device_lock import lock_device
    from bench.harness.progress import show_progress

    result, interrupted = calibration.Calibration(), False
    try:
        with lock_device(kind, wait), show_progress(runs) as tell:
            calibration.calibrate(torch.device(kind), runs, float(found[1]), tell, result)
    except KeyboardInterrupt:
        if not result.comparisons:
            raise
        interrupted = True
    print_result(open_console(), result, found[1])
    if interrupted:
        raise SystemExit(130)
    if result.conclusion != "passed":
        raise SystemExit(1)


def print_result(out: "Console", result: "Calibration", percent: str) -> None:
    """Prints the verdicts and the conclusion of a calibration."""
    from bench.harness.calibration import FALSE, FOUND, bound_share

    def line(name: str, tally: "Counter[Verdict]", what: str, count: int) -> str:
        low, high = bound_share(count, result.comparisons)
        verdicts = ", ".join(f"{n} {verdict}" for verdict, n in tally.most_common())
        return f"{name}: {count} of {result.comparisons} {what}, between {low:.1%} and {high:.1%} ({verdicts})"

    out.print(line("the same work", result.same, "called faster or slower", result.wrong), highlight=False)
    out.print(line(f"{percent}% more time steps", result.slowed, "found", result.found), highlight=False)
    wanted = f"wanted are at most {FALSE:.0%} wrong and at least {FOUND:.0%} found; the largest noise floor is {result.floor:.1%}"
    out.print(f"{result.conclusion}: {wanted}", highlight=False)
    if result.conclusion == "inconclusive":
        out.print(f"{result.comparisons} comparisons can't tell: take more with --runs (three each)", highlight=False)


def print_simulations(out: "Console", kind: str, runs: int) -> None:
    """Prints the coverage of intervals at each number of builds, then coverage, verdicts and power for each kind of noise."""
    from bench.harness.noise_simulation import SHAPES, measure_coverage, simulate_kinds
    from bench.measure.clock import RULES

    rule = RULES[kind]
    out.print(f"Coverage of the interval of a median, {100 * runs:,} intervals each:", highlight=False)
    for shape in SHAPES:
        shares = ", ".join(f"n={n} {measure_coverage(shape, n, 100 * runs):.1%}" for n in (*range(6, 14), 20, 50))
        out.print(f"  {shape}: {shares}", highlight=False)
    out.print(f"{rule.builds} builds, {3 * runs} comparisons each, at a true ratio of 1 and with 5% more work:", highlight=False)
    out.print(f"  {'noise':<42} {'call':>6} {'samples':>7} {'covered':>8} {'wrong':>6} {'unclear':>7} {'found':>6}", highlight=False)
    for done in simulate_kinds(rule, runs):
        result = done.found
        unclear = result.same["ambiguous"] + result.same["unstable"]
        counts = (result.covered, result.wrong, unclear, result.found)
        covered, wrong, unsure, power = (f"{count / result.comparisons:.1%}" for count in counts)
        call = f"{1e3 * done.seconds:.0f} ms"
        out.print(f"  {done.kind:<42} {call:>6} {done.samples:>7} {covered:>8} {wrong:>6} {unsure:>7} {power:>6}", highlight=False)
    out.print(
        "covered: intervals of the same work that contain 1; wrong: the same work called faster or slower; unclear: the same work",
        highlight=False,
    )
    out.print(
        f"called ambiguous or unstable; found: more work called slower. By chance a share can be off by {1 / (3 * runs) ** 0.5:.0%}.",
        highlight=False,
    )

"""Implements `python -m bench bundle`."""

import os
from pathlib import Path

import click

from bench.commands.arguments import SIZE, Choice, split_list
from bench.commands.command import command, list_option
from bench.errors import UsageError
from bench.harness.suites import GPU_SUITES


@command(renamed={"--cuts": "--tilings", "--there": "--installed", "--also": "--packages"})
@click.option("--out", type=Path, metavar="FILE.tar.gz", help="The bundle to write. [none: kernels are compiled into the cache only]")
@list_option(
    "--suite",
    type=Choice(GPU_SUITES, "suite", several=True),
    metavar="A,B",
    help=f"The suites whose kernels are packed: {', '.join(GPU_SUITES)}. [all, in this order]",
)
@click.option(
    "--tilings", type=SIZE, default="2", metavar="N", help="Tile configurations of each persistent pass, fastest expected first. [2]"
)
@click.option("--list", "listed", type=Path, metavar="FILE", help="Pack the kernels in this list of JSON lines instead of those of suites.")
@click.option("--arch", type=SIZE, default="90", metavar="N", help="Compute capability of the GPU. [90, an H100]")
@list_option("--installed", default="", metavar="A,B", help="Packages that the other machine has. [those of a usual image with torch]")
@list_option("--packages", default="", metavar="A,B", help="Further packages whose wheels are packed, such as pytest for the GPU tests.")
@click.option("--no-wheels", is_flag=True, help="Pack no wheels.")
@click.option(
    "--cache", type=Path, metavar="FOLDER", help="The folder of the kernels, here and on the other machine. [/tmp/recurrent-bench-cache]"
)
@click.option("--processes", type=SIZE, metavar="N", help="Number of processes that compile. [one for each core]")
@click.option(
    "--check", type=Path, metavar="BUNDLE", help="Check on the other machine that the kernels of a bundle are found; if not, compile them."
)
def bundle(
    out: Path | None, suite: tuple[str, ...] | None, tilings: int, listed: Path | None, arch: int, installed: str, packages: str,
    no_wheels: bool, cache: Path | None, processes: int | None, check: Path | None,
) -> None:  # fmt: skip
    """Pack wheels and compiled kernels for a machine that can't install packages. Run the command with that machine's versions of Python
    and triton. docs/offline.md describes how to unpack a bundle."""
    from bench.harness.bundle import arrive, make_bundle
    from bench.harness.bundle.compile_list import CACHE
    from bench.harness.bundle.wheels import INSTALLED
    from bench.harness.progress import print_line

    try:
        import triton  # noqa: F401
    except ImportError:
        raise UsageError("triton compiles the kernels of a bundle, and is not installed here") from None
    workers = processes or len(os.sched_getaffinity(0))
    if check:
        arrive.check_bundle(arrive.read_bundle(check), workers, print_line)
        return
    works = make_bundle.list_works(listed, suite or GPU_SUITES, tilings)
    wheels = None if no_wheels else make_bundle.Wheels(split_list(installed) or INSTALLED, split_list(packages))
    make_bundle.make_bundle(works, arch, cache or CACHE, workers, out, wheels, print_line)

"""`python -m bench bundle`."""

import os
from pathlib import Path

import click

from bench.errors import UsageError
from bench.harness.settings import choices, size
from bench.harness.suites import SUITES


@click.command()
@click.option("--out", type=Path, metavar="FILE.tar.gz", help="What to write. [nothing: kernels are compiled into the cache]")
@click.option("--suite", default="", metavar="A,B", help=f"Whose kernels: {', '.join(SUITES)}. [all, in this order]")
@click.option("--cuts", default="2", metavar="N", help="Kernels of each pass of resident: the first N cuts. [2]")
@click.option("--list", "listed", type=Path, metavar="FILE", help="Kernels by a list, a line of JSON each, in place of a suite's.")
@click.option("--arch", default="90", metavar="N", help="Compute capability of the GPU. [90, an H100]")
@click.option("--there", default="", metavar="A,B", help="Packages that are there already. [those of an image with torch]")
@click.option("--also", default="", metavar="A,B", help="Packages whose wheels are packed too: pytest, for the GPU tests.")
@click.option("--no-wheels", is_flag=True, help="Pack no wheels.")
@click.option("--cache", type=Path, metavar="FOLDER", help="Where the kernels are compiled, and unpacked. [/tmp/recurrent-bench-cache]")
@click.option("--processes", default="", metavar="N", help="How many compile. [as many as there are cores]")
@click.option("--check", type=Path, metavar="BUNDLE", help="On arrival: are its kernels found? If not, they are compiled.")
def bundle(
    out: Path | None, suite: str, cuts: str, listed: Path | None, arch: str, there: str, also: str, no_wheels: bool,
    cache: Path | None, processes: str, check: Path | None,
) -> None:  # fmt: skip
    """For a machine that can install nothing: its wheels and compiled kernels as one file. Run it with that machine's Python and triton;
    docs/offline.md has how it is unpacked."""
    from bench.harness.bundle import arrive, make_bundle
    from bench.harness.bundle.compile_list import CACHE
    from bench.harness.bundle.wheels import THERE
    from bench.harness.progress import say

    try:
        import triton  # noqa: F401
    except ImportError:
        raise UsageError("a bundle has kernels that triton compiles, and it is not installed here") from None
    workers = size(processes, "--processes") if processes else len(os.sched_getaffinity(0))
    if check:
        arrive.check(arrive.read(check), workers, say)
        return
    names = choices(suite, tuple(SUITES), "suite") if suite else tuple(SUITES)
    works = make_bundle.works(listed, names, size(cuts, "--cuts"))
    wheels = None if no_wheels else make_bundle.Wheels(parts(there) or THERE, parts(also))
    make_bundle.run(works, size(arch, "--arch"), cache or CACHE, workers, out, wheels, say)


def parts(text: str) -> tuple[str, ...]:
    """Of a comma list."""
    return tuple(part.strip() for part in text.split(",") if part.strip())

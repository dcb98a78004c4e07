"""From a list to a bundle."""

import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.errors import UsageError
from bench.harness.bundle import compile_list, kernel_list, launchers, pack, wheels
from bench.harness.bundle.compile_list import CompiledList, Tell
from bench.harness.bundle.kernel_list import KernelWork
from bench.measure import source_commit
from bench.measure.environment import find_commit, find_version


@dataclass(frozen=True)
class Wheels:
    """Which packages are there already, and which are packed besides those that the project needs."""

    there: Sequence[str]
    also: Sequence[str] = ()

    def fetch(self, folder: Path) -> list[Path]:
        return wheels.download([*wheels.missing_packages(self.there), *self.also], self.there, folder)


def list_works(listed: Path | None, suites: Sequence[str], tilings: int) -> list[KernelWork]:
    """List what to compile: the lines of a file or, without one, what suites run."""
    return kernel_list.read_list(listed) if listed else kernel_list.list_suites(suites, tilings)


def make_bundle(
    todo: Sequence[KernelWork], capability: int, cache: Path, processes: int, out: Path | None, packages: Wheels | None, tell: Tell
) -> None:
    """Compile what is to do and, with `out`, pack it, and the packages. Raises UsageError for what a user can mend."""
    if not cache.is_absolute():
        raise UsageError(f"--cache takes a path from the root, not {cache}: Triton finds its files by it, here and there")
    if out and not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} can't be written: there is no folder {out.absolute().parent}")
    for_what = f"Python {platform.python_version()}, triton {find_version('triton')} and compute capability {capability}"
    tell(f"{len(todo)} pieces of work for {for_what}, into {cache}")
    with launchers.find_libcuda() as libcuda:
        if libcuda is None:
            tell("no C compiler: the launchers are left out")
        warmed = compile_list.compile_works(todo, capability, cache, processes, libcuda, tell)
    if out:
        write_bundle(out, warmed, cache, capability, packages, tell)


def write_bundle(out: Path, warmed: CompiledList, cache: Path, capability: int, packages: Wheels | None, tell: Tell) -> None:
    """Write the bundle, and say what is in it and what to do with it."""
    said = source_commit.Commit(*find_commit(), source_commit.digest_sources())
    with TemporaryDirectory() as scratch:
        found = packages.fetch(Path(scratch)) if packages else []
        made = pack.make_manifest(warmed, cache, capability, said, found)
        size = pack.pack(out, made, warmed, said, found)
    tell(f"wheels: {', '.join(made.wheels) or 'none'}")
    tell(f"{out}: {size / 2**20:.1f} MiB with {made.kernels} kernels; {len(warmed.failed)} of {len(warmed.keys)} pieces of work failed")
    unpack = f'tar xzf {out.name} && eval "$(python3 {pack.FOLDER}/unpack.py)"'
    tell(f"there: {unpack} && python3 -m bench bundle --check {pack.FOLDER}")

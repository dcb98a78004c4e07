"""Makes a bundle from a list of kernels."""

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
    """The packages to pack, besides the dependencies of this project that the other machine lacks.

    Attributes:
        installed: Packages that the other machine has.
        packages: Further packages to pack.
    """

    installed: Sequence[str]
    packages: Sequence[str] = ()

    def fetch(self, folder: Path) -> list[Path]:
        """Downloads the wheels to a folder and returns their paths."""
        return wheels.download([*wheels.missing_packages(self.installed), *self.packages], self.installed, folder)


def list_works(listed: Path | None, suites: Sequence[str], tilings: int) -> list[KernelWork]:
    """Returns the kernels to compile: those in a file or, without one, those that suites run.

    Args:
        listed: The file, or None.
        suites: The names of the suites.
        tilings: The number of tile configurations of each pass.
    """
    return kernel_list.read_list(listed) if listed else kernel_list.list_suites(suites, tilings)


def make_bundle(
    todo: Sequence[KernelWork], capability: int, cache: Path, processes: int, out: Path | None, packages: Wheels | None, tell: Tell
) -> None:
    """Compiles kernels into the cache and, with `out`, packs them with the wheels.

    Args:
        todo: The kernels.
        capability: The compute capability of the GPU to compile for.
        cache: The folder of Triton's cache, an absolute path.
        processes: The number of processes that compile.
        out: The bundle's file, or None.
        packages: The wheels to pack; None for none.
        tell: Called with lines of progress.

    Raises:
        UsageError: A path is invalid, the wheels can't be downloaded, or the bundle is too large.
    """
    if not cache.is_absolute():
        raise UsageError(f"--cache takes a path from the root, not {cache}: Triton finds its files by this path on both machines")
    if out and not out.absolute().parent.is_dir():
        raise UsageError(f"--out {out} can't be written: there is no folder {out.absolute().parent}")
    for_what = f"Python {platform.python_version()}, triton {find_version('triton')} and compute capability {capability}"
    tell(f"{len(todo)} pieces of work for {for_what}, into {cache}")
    with launchers.find_libcuda() as libcuda:
        if libcuda is None:
            tell("there is no C compiler: the launchers are left out")
        warmed = compile_list.compile_works(todo, capability, cache, processes, libcuda, tell)
    if out:
        write_bundle(out, warmed, cache, capability, packages, tell)


def write_bundle(out: Path, warmed: CompiledList, cache: Path, capability: int, packages: Wheels | None, tell: Tell) -> None:
    """Writes the bundle, and prints its content and the commands that unpack it."""
    said = source_commit.Commit(*find_commit(), source_commit.digest_sources())
    with TemporaryDirectory() as scratch:
        found = packages.fetch(Path(scratch)) if packages else []
        made = pack.make_manifest(warmed, cache, capability, said, found)
        size = pack.pack(out, made, warmed, said, found)
    tell(f"wheels: {', '.join(made.wheels) or 'none'}")
    tell(f"{out}: {size / 2**20:.1f} MiB with {made.kernels} kernels; {len(warmed.failed)} of {len(warmed.keys)} pieces of work failed")
    unpack = f'tar xzf {out.name} && eval "$(python3 {pack.FOLDER}/unpack.py)"'
    tell(f"on the other machine: {unpack} && python3 -m bench bundle --check {pack.FOLDER}")

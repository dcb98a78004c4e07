"""From a list to a bundle."""

import platform
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.bundle import commit, launchers, pack, warm, wheels, work
from bench.bundle.warm import CACHE, Tell
from bench.bundle.work import Work
from bench.measure.environment import git, version
from bench.settings import SettingsError


def works(listed: Path | None, suites: Sequence[str], cuts: int) -> list[Work]:
    """What is to be compiled: by a list or, without one, what suites run."""
    return work.read(listed) if listed else work.suites(suites, cuts)


def run(
    todo: Sequence[Work], capability: int, cache: Path | None, processes: int, out: Path | None, there: Sequence[str] | None,
    with_wheels: bool, tell: Tell,
) -> None:  # fmt: skip
    """Compile what is to do and, with `out`, pack it. Raises SettingsError for what a user can mend."""
    folder = cache or CACHE
    if not folder.is_absolute():
        raise SettingsError(f"--cache takes a path from the root, not {folder}: Triton finds its files by it, here and there")
    if out and not out.absolute().parent.is_dir():
        raise SettingsError(f"--out {out} can't be written: there is no folder {out.absolute().parent}")
    for_what = f"Python {platform.python_version()}, triton {version('triton')} and compute capability {capability}"
    tell(f"{len(todo)} pieces of work for {for_what}, into {folder}")
    with launchers.library() as libcuda:
        if libcuda is None:
            tell("no C compiler: the launchers are left out")
        warmed = warm.run(todo, capability, folder, processes, libcuda, tell)
    if out:
        have = wheels.THERE if there is None else there
        said = commit.Commit(git("rev-parse", "HEAD"), bool(git("status", "--porcelain", "--untracked-files=no")), commit.digest())
        with TemporaryDirectory() as scratch:
            found = wheels.download(wheels.lacking(have), have, Path(scratch)) if with_wheels else []
            made = pack.manifest(warmed, folder, capability, said, found)
            size = pack.pack(out, made, warmed, said, found)
        tell(f"wheels: {', '.join(made.wheels) or 'none'}")
        tell(f"{out}: {size / 2**20:.1f} MiB with {made.kernels} kernels of {len(todo)} pieces of work, {len(warmed.failed)} failed")
        tell(f'there: tar xzf {out.name} && eval "$(python3 {pack.FOLDER}/unpack.py)" && python3 -m bench bundle --check {pack.FOLDER}')

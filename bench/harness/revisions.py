"""What `compare` is given: a records file, or code to measure, as a git revision or as it lies in the working tree."""

import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.analysis.comparison import RunSet
from bench.errors import UsageError
from bench.records import read

ROOT = Path(__file__).parents[2]
OWN = ("--out", "--resume", "--dry-run")
"""Options of `bench all` that are not for its user to give here."""


@dataclass(frozen=True)
class Code:
    """A commit to measure, or the working tree where it is ""."""

    name: str
    commit: str = ""


TREE = Code("the working tree")


def named(text: str) -> Path | Code:
    """A path that exists or, where there is none, a revision. Raises UsageError."""
    if Path(text).exists():
        return Path(text)
    found = git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode:
        raise UsageError(f"{text!r} is neither a records file or its folder nor a git revision: name one of these")
    return Code(text, found.stdout.strip())


def git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"git can't be run ({error.strerror}): install it, or name records files") from None


def sides(a: Path | Code, b: Path | Code, arguments: Sequence[str], tell: Callable[[str], None]) -> tuple[RunSet, RunSet]:
    """Reads files, and measures code by `python -m bench all` with the arguments: both by turns, A B B A, so that what drifts meets both
    alike. `tell` is called with what runs. Raises UsageError or RecordError."""
    own = next((given for given in arguments if given.partition("=")[0] in OWN), None)
    if own:
        raise UsageError(f"{own} after -- is for compare itself to give: leave it out")
    code = [side for side in (a, b) if isinstance(side, Code)]
    if arguments and not code:
        raise UsageError(f"two records files are compared as they are: leave out -- {shlex.join(arguments)}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-compare-")))
        trees = [stack.enter_context(tree(side, folder / f"tree-{k}")) for k, side in enumerate(code)]
        turns = (0, 1, 1, 0) if len(code) == 2 else (0,) * len(code)
        runs: list[list[Path]] = [[] for _ in code]
        for turn, k in enumerate(turns):
            tell(f"run {turn + 1} of {len(turns)}: {code[k].name}")
            runs[k].append(folder / f"run-{turn}")
            measure(code[k], trees[k], runs[k][-1], arguments)
        measured = [RunSet(side.name, tuple(read(run) for run in found)) for side, found in zip(code, runs, strict=True)]
    both = [measured.pop(0) if isinstance(side, Code) else RunSet(str(side), (read(side),)) for side in (a, b)]
    return both[0], both[1]


@contextmanager
def tree(code: Code, folder: Path) -> Iterator[Path]:
    """Where code lies: a commit is checked out into a git worktree of its own, which is gone afterwards."""
    if not code.commit:
        yield ROOT
        return
    made = git("worktree", "add", "--detach", str(folder), code.commit)
    if made.returncode:
        last = (made.stderr.strip() or "git says nothing").splitlines()[-1]
        raise UsageError(f"{code.name} can't be checked out ({last})")
    try:
        yield folder
    finally:
        git("worktree", "remove", "--force", str(folder))


def measure(code: Code, tree: Path, out: Path, arguments: Sequence[str]) -> None:
    """Its tables are dropped, its progress is shown."""
    command = [sys.executable, "-m", "bench", "all", *arguments, "--out", str(out)]
    ended = subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL, check=False).returncode
    if ended:
        raise UsageError(f"{code.name} could not be measured: bench all {shlex.join(arguments)} ended with exit code {ended}")

"""Reads or measures the two sides of `bench compare`: records files, git revisions, or the working tree."""

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
from bench.records import read_records

ROOT = Path(__file__).parents[2]
OWN = ("--out", "--resume", "--dry-run")
"""Options of `bench all` that `bench compare` sets itself."""


@dataclass(frozen=True)
class Checkout:
    """Code to measure.

    Attributes:
        name: The name in reports.
        commit: The commit; "" for the working tree.
    """

    name: str
    commit: str = ""


WORKING_TREE = Checkout("the working tree")


def parse_revision(text: str) -> Path | Checkout:
    """Returns a path, or a git revision if no such path exists.

    Args:
        text: A records file, its folder, or a git revision.

    Raises:
        UsageError: The text is none of these.
    """
    if Path(text).exists():
        return Path(text)
    found = run_git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{text}^{{commit}}")
    if found.returncode:
        raise UsageError(f"{text!r} is neither a records file or its folder nor a git revision: name one of these")
    return Checkout(text, found.stdout.strip())


def run_git(*arguments: str) -> "subprocess.CompletedProcess[str]":
    """Runs git in the repository and returns the finished process. Raises UsageError if git can't be run."""
    try:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False)
    except OSError as error:
        raise UsageError(f"git can't be run ({error.strerror}): install it, or name records files") from None


def read_or_measure(a: Path | Checkout, b: Path | Checkout, arguments: Sequence[str], tell: Callable[[str], None]) -> tuple[RunSet, RunSet]:
    """Reads records files, and measures code with `python -m bench all`.

    Two checkouts are measured interleaved, A B B A, so that drift affects both equally.

    Args:
        a: The first side.
        b: The second side.
        arguments: The arguments of `bench all`.
        tell: Called with a line of progress.

    Returns:
        The runs of both sides.

    Raises:
        UsageError: The arguments are invalid, or code can't be measured.
        RecordError: A records file is invalid.
    """
    own = next((given for given in arguments if given.partition("=")[0] in OWN), None)
    if own:
        raise UsageError(f"{own} after -- is for compare itself to give: leave it out")
    code = [side for side in (a, b) if isinstance(side, Checkout)]
    if arguments and not code:
        raise UsageError(f"two records files need no measurement: leave out -- {shlex.join(arguments)}")
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-compare-")))
        trees = [stack.enter_context(check_out(side, folder / f"tree-{k}")) for k, side in enumerate(code)]
        turns = (0, 1, 1, 0) if len(code) == 2 else (0,) * len(code)
        runs: list[list[Path]] = [[] for _ in code]
        for turn, k in enumerate(turns):
            tell(f"run {turn + 1} of {len(turns)}: {code[k].name}")
            runs[k].append(folder / f"run-{turn}")
            measure_checkout(code[k], trees[k], runs[k][-1], arguments)
        measured = [RunSet(side.name, tuple(read_records(run) for run in found)) for side, found in zip(code, runs, strict=True)]
    both = [measured.pop(0) if isinstance(side, Checkout) else RunSet(str(side), (read_records(side),)) for side in (a, b)]
    return both[0], both[1]


@contextmanager
def check_out(code: Checkout, folder: Path) -> Iterator[Path]:
    """Yields the folder of a checkout. A commit gets its own git worktree, which is removed afterwards."""
    if not code.commit:
        yield ROOT
        return
    made = run_git("worktree", "add", "--detach", str(folder), code.commit)
    if made.returncode:
        last = (made.stderr.strip() or "git gives no reason").splitlines()[-1]
        raise UsageError(f"{code.name} can't be checked out ({last})")
    try:
        yield folder
    finally:
        run_git("worktree", "remove", "--force", str(folder))


def measure_checkout(code: Checkout, tree: Path, out: Path, arguments: Sequence[str]) -> None:
    """Runs `bench all` in a checkout; its tables are discarded, its progress is shown. Raises UsageError if it fails."""
    command = [sys.executable, "-m", "bench", "all", *arguments, "--out", str(out)]
    ended = subprocess.run(command, cwd=tree, stdout=subprocess.DEVNULL, check=False).returncode
    if ended:
        raise UsageError(f"{code.name} could not be measured: bench all {shlex.join(arguments)} ended with exit code {ended}")

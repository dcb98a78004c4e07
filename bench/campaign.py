"""What there is to learn on a machine with a GPU, the most telling first, within a budget: `make gpu`, `python -m bench campaign`.

It needs what is measured with (torch, triton, numpy, sympy, pydantic, click, and pytest for the tests) and installs nothing. Every
step may be called again with the folder it wrote to, and goes on there. The suites run in processes of their own: if one is lost,
with a GPU that takes no more work from it, the next begins without the case at fault.
"""

import contextlib
import importlib.util
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from bench.settings import SettingsError

ROOT = Path(__file__).parents[1]
GRACE = 180.0
"""Seconds that a suite may take beyond its budget: for the size it is at, and its report."""

LAST = 20.0
"""Seconds that a step which is stopped has for its last words."""

OVERDUE = 124
"""What `timeout` exits with, too."""

Tell = Callable[[str], None]


class Failed(Exception):
    """A step that went wrong; the message says how."""


@dataclass(frozen=True)
class Step:
    """`run(folder, seconds, tell)` does in about so many seconds what it can, and raises if it goes wrong; `share` is its part of the
    time that is left when its turn comes."""

    name: str
    share: float
    run: Callable[[Path, float, Tell], None]


def tests(folder: Path, seconds: float, tell: Tell) -> None:
    """The tests marked `gpu`, unless they passed before; what they say is in tests.log."""
    log = folder / "tests.log"
    if log.exists() and log.read_text().endswith("\nexit code 0\n"):
        tell("passed before")
        return
    if importlib.util.find_spec("pytest") is None:
        raise Failed("pytest is not installed here: the GPU tests did not run")
    files = sorted(map(str, (ROOT / "tests").glob("test_gpu*.py")))
    with log.open("w") as stream:
        code = call([sys.executable, "-m", "pytest", "-o", "addopts=", "-W", "default", "-m", "gpu", "-q", *files], seconds, stream)
        stream.write(f"\nexit code {code}\n")
    if code:
        raise Failed(f"the GPU tests {'took too long' if code == OVERDUE else f'failed (exit code {code})'}: see {log}")


def tune(name: str, folder: Path, seconds: float, tell: Tell) -> None:
    """The fastest cuts for a suite, into the device's table, as far as the time reaches. The records get a copy of the table."""
    code = call(
        [sys.executable, "-m", "bench", "tune", "--suite", name, "--budget", f"{max(seconds, 1):.0f}s"], seconds + GRACE, sys.stderr
    )
    for table in (ROOT / "kernels" / "tuned").glob("*.json"):
        shutil.copy(table, folder)
    if code:
        raise Failed(f"tuning for {name} {'took too long' if code == OVERDUE else f'ended with exit code {code}'}")


def suite(name: str, folder: Path, seconds: float, tell: Tell) -> None:
    """What is missing of a suite, until the time is spent."""
    path, end = folder / name / "records.jsonl", time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        before = path.stat().st_size if path.exists() else 0
        command = [sys.executable, "-m", "bench", "all", "--suite", name, "--device", "cuda", "--out", str(path.parent), "--resume"]
        with (folder / f"{name}.txt").open("w") as stream:
            code = call([*command, "--budget", f"{max(left, 1):.0f}s"], left + GRACE, stream)
        if code == 0:
            return
        why = "didn't end in time" if code == OVERDUE else f"ended with exit code {code}"
        if code == OVERDUE or not path.exists() or path.stat().st_size == before:
            raise Failed(f"{name} {why}: what it measured before is in {path}")
        tell(f"{name} {why}: it goes on without the case at fault")
    raise Failed(f"{name} ran out of time before it could end as it should: what it measured is in {path}")


def call(command: Sequence[str], seconds: float, output: IO[str]) -> int:
    """The exit code of a command, run from the root; OVERDUE where it took longer and was stopped: first as from a keyboard, so that it
    can say what it found, and then for good."""
    with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=None) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LAST)
            return OVERDUE
        finally:
            process.kill()


STEPS = (
    Step("tests", 1 / 3, tests),
    Step("tune for headline", 1 / 4, partial(tune, "headline")),
    Step("headline", 2 / 5, partial(suite, "headline")),
    Step("scans", 1 / 6, partial(suite, "scans")),
    Step("tune for deepbench", 1 / 4, partial(tune, "deepbench")),
    Step("deepbench", 1 / 2, partial(suite, "deepbench")),
    Step("crossover", 1 / 2, partial(suite, "crossover")),
    Step("the rest of headline", 1 / 2, partial(suite, "headline")),
    Step("the rest of deepbench", 2 / 3, partial(suite, "deepbench")),
    Step("the rest of scans", 1 / 2, partial(suite, "scans")),
    Step("the rest of crossover", 1, partial(suite, "crossover")),
)


def run(folder: Path, seconds: float, steps: Sequence[Step], tell: Tell) -> list[str]:
    """Take the steps in turn, each in its share of what is left of the budget. Returns what went wrong, a line for each step."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"--out {folder} can't be written ({error.strerror}): name a folder that can") from None
    end, wrong = time.monotonic() + seconds, []
    for number, step in enumerate(steps):
        left = end - time.monotonic()
        if left <= 0:
            tell(f"the budget is spent: {', '.join(s.name for s in steps[number:])} left out")
            break
        tell(f"{step.name}: {left * step.share:.0f} of the {left:.0f} seconds left")
        try:
            step.run(folder.resolve(), left * step.share, tell)
        except Exception as error:
            wrong.append(f"{step.name}: {error if isinstance(error, Failed) else f'{type(error).__name__}: {error}'}")
            tell(f"WRONG: {wrong[-1]}")
    tell(f"records are in {folder}; called again with --out {folder}, it goes on, and python -m bench report {folder}/NAME renders them")
    for line in wrong:
        tell(f"WRONG: {line}")
    return wrong

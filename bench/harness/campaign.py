"""A campaign: what to measure on a machine with a GPU, as steps, most informative first: `make gpu`, `python -m bench campaign`.

Every step is a command in a process of its own with a time limit of its own, so that none takes the others with it, and after every
step the folder is packed into one archive: what was found survives whatever comes next. Call 1 fits into six minutes. Call 2 goes on
in the same folder with what call 1 found there, for as long as it is given: `bench.harness.second_call` says with what first.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from bench.errors import UsageError

ROOT = Path(__file__).parents[2]

LAST = 10.0
"""Seconds that a step which is stopped has for its last words."""

LEAST = 10.0
"""Seconds below which no step begins."""

OVERDUE = 124
"""What `timeout` exits with, too."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """A command, `arguments` to `python -m`, that may take `limit` seconds, in one of the two calls. In its arguments {folder} is where
    it writes, and {seconds} after which it stops starting new work: its time less what it needs to end, `ending`."""

    name: str
    call: int
    limit: float
    arguments: tuple[str, ...]
    ending: float = 20.0

    @property
    def log(self) -> str:
        """The file of what it says, in the folder."""
        return f"{self.name.replace(' ', '-')}.log"

    def command(self, folder: Path, seconds: float) -> list[str]:
        given = {"folder": str(folder), "seconds": f"{max(1.0, seconds - self.ending):.0f}s"}
        return [sys.executable, "-m", *(argument.format(**given) for argument in self.arguments)]


@dataclass(frozen=True)
class Outcome:
    """The end of a step: its exit code, None if it could not run, and its seconds."""

    name: str
    call: int
    code: int | None
    seconds: float


OUTCOMES = "steps.jsonl"
"""The file of a folder that has an Outcome a line, in the order in which the steps ended."""


def write_outcome(folder: Path, outcome: Outcome) -> None:
    with (folder / OUTCOMES).open("a") as stream:
        stream.write(json.dumps(asdict(outcome)) + "\n")


def test_arguments(*chosen: str) -> tuple[str, ...]:
    """The arguments that run GPU tests in parallel processes, each test named in the log as soon as it ended."""
    return ("pytest", "-o", "addopts=", "-W", "default", "-m", "gpu", "-n", "12", "--dist", "worksteal", "-v", "--tb=short", *chosen)


def suite_arguments(name: str, folder: str, *more: str) -> tuple[str, ...]:
    """The arguments that measure a suite into {folder}/FOLDER, or go on there."""
    command = ("bench", "all", "--suite", name, "--device", "cuda", "--out", "{folder}/" + folder, "--resume")
    return (*command, "--no-report", "--budget", "{seconds}", *more)


RISKS = "as_wide_as_it_gets or same_bits or no_hang or graphs_of_other_cells"
SMOKE = test_arguments("-k", RISKS, "tests/test_gpu.py", "tests/test_gpu_conditions.py")
LEAN = ("--lean", "--backends", "vendor,persistent")
TUNE = ("bench", "tune", "--suite", "headline", "--dtype", "float16", "--budget", "{seconds}", "--out", "{folder}")
LAYERS = ("bench", "tune", "--out", "{folder}", "--layers")
STEPS = (
    Step("doctor", 1, 20, ("bench", "doctor")),
    Step("smoke", 1, 50, SMOKE),
    Step("tilings", 1, 45, (*TUNE, "--tilings", "24")),
    Step("tune", 1, 75, (*TUNE, "--tilings", "4")),
    Step("headline", 1, 120, suite_arguments("headline", "headline", "--dtype", "float16", *LEAN)),
    Step("layers", 1, 15, (*LAYERS, "{folder}/headline")),
    Step("tests", 1, 120, test_arguments(*(f"tests/test_gpu{part}.py" for part in ("", "_torch_operator", "_scan", "_conditions")))),
    Step("smoke again", 2, 40, SMOKE),
    Step("tune more", 2, 60, ("bench", "tune", "--budget", "{seconds}", "--out", "{folder}")),
    Step("headline in full", 2, 130, suite_arguments("headline", "full", "--backends", "vendor,persistent,stepwise"), ending=40.0),
    Step("deepbench", 2, 60, suite_arguments("deepbench", "deepbench", *LEAN)),
    Step("more layers", 2, 15, (*LAYERS, "{folder}/full", "--layers", "{folder}/deepbench")),
    Step("scans", 2, 30, suite_arguments("scans", "scans", "--lean")),
    Step("crossover", 2, 40, suite_arguments("crossover", "crossover", *LEAN)),
    Step("more of headline", 2, 600, suite_arguments("headline", "headline", "--dtype", "float16", *LEAN)),
)
"""Most informative first: first whether the kernels run and are right, then the fastest tile configurations, then speeds beside cuDNN."""


def select_steps(call: int | None) -> tuple[Step, ...]:
    """The steps of a call, or of both."""
    return tuple(step for step in STEPS if call in (None, step.call))


def run_campaign(folder: Path, seconds: float, steps: Sequence[Step], tell: Tell, pack: Path | None = None) -> list[str]:
    """Take the steps in turn until the budget is spent, and after each pack the folder. Returns what went wrong, a line for each step."""
    end, wrong = time.monotonic() + seconds, []
    pack = pack or folder.with_name(f"{folder.name}.tar.gz")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(folder, pack)
    except OSError as error:
        raise UsageError(f"--out {folder} can't be written ({error.strerror}): name a folder that can") from None
    for number, step in enumerate(steps):
        left = end - time.monotonic() - LAST
        if left < LEAST:
            tell(f"the budget is spent: {', '.join(s.name for s in steps[number:])} left out")
            break
        limit = min(step.limit, left)
        tell(f"{step.name}: at most {limit:.0f} of the {left:.0f} seconds left")
        begin = time.monotonic()
        code: int | None = None
        try:
            with (folder / step.log).open("a") as log:
                code = run_command(step.command(folder.resolve(), limit), limit, log)
            why = "" if not code else "was stopped" if code == OVERDUE else f"ended with exit code {code}"
        except OSError as error:
            why = f"couldn't run ({error})"
        took = f"after {time.monotonic() - begin:.0f} s"
        write_outcome(folder, Outcome(step.name, step.call, code, time.monotonic() - begin))
        if why:
            wrong.append(f"{step.name} {why} {took}: see {step.log}")
        tell(wrong[-1] if why else f"{step.name}: done {took}")
        write_archive(folder, pack)
    tell(f"everything found is in {pack}; python -m bench report {folder}/NAME renders a suite, there or elsewhere")
    return wrong


def write_archive(folder: Path, pack: Path) -> None:
    """Write the folder into the archive, in place of the last one, whole or not at all."""
    fresh = pack.with_name(f"{pack.name}.new")
    with tarfile.open(fresh, "w:gz", compresslevel=3) as archive:
        archive.add(folder, arcname=folder.name)
    os.replace(fresh, pack)


def run_command(command: Sequence[str], seconds: float, output: IO[str]) -> int:
    """The exit code of a command, run from the root in a process group; OVERDUE where it took longer and was stopped: first as from a
    keyboard, so that it can say what it found, and then for good, with whatever it had started."""
    with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(LAST)
            return OVERDUE
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

"""Runs a campaign: the steps that measure a machine with a GPU, most informative first (`make gpu`, `python -m bench campaign`).

Every step is a command in its own process with its own time limit, so a failed step doesn't stop the others. After every step the folder
is packed into one archive, so that results survive a lost machine. Call 1 fits into six minutes. Call 2 resumes in the same folder for
as long as its budget; `bench.harness.second_call` chooses its first steps.
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

GRACE_SECONDS = 10.0
"""The seconds between an interrupt and a kill of a step that exceeds its limit; it writes its results in this time."""

LEAST = 10.0
"""A step doesn't start with fewer seconds left."""

OVERDUE = 124
"""The exit code of a step that exceeded its limit, which is that of `timeout` too."""

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Step:
    """A step of a campaign.

    Attributes:
        name: The name, which is unique.
        call: The call that the step belongs to, 1 or 2.
        limit: The time limit in seconds.
        arguments: The arguments of `python -m`. In them {folder} is the campaign's folder, and {seconds} the duration after which the
            command should start no new work.
        ending: The seconds that the command needs to finish; {seconds} is shorter than the limit by this much.
    """

    name: str
    call: int
    limit: float
    arguments: tuple[str, ...]
    ending: float = 20.0

    @property
    def log(self) -> str:
        """Returns the name of the step's log file in the campaign's folder."""
        return f"{self.name.replace(' ', '-')}.log"

    def command(self, folder: Path, seconds: float) -> list[str]:
        """Returns the command line of a step.

        Args:
            folder: The campaign's folder.
            seconds: The time that the step may take.
        """
        given = {"folder": str(folder), "seconds": f"{max(1.0, seconds - self.ending):.0f}s"}
        return [sys.executable, "-m", *(argument.format(**given) for argument in self.arguments)]


@dataclass(frozen=True)
class Outcome:
    """The result of a step.

    Attributes:
        name: The step's name.
        call: The step's call, 1 or 2.
        code: The exit code; None if the command could not run.
        seconds: The duration.
    """

    name: str
    call: int
    code: int | None
    seconds: float


OUTCOMES = "steps.jsonl"
"""The file in a campaign's folder with one Outcome per line, in the order in which the steps ended."""


def write_outcome(folder: Path, outcome: Outcome) -> None:
    """Appends an outcome to the file in a campaign's folder."""
    with (folder / OUTCOMES).open("a", encoding="utf-8") as stream:
        stream.write(json.dumps(asdict(outcome)) + "\n")


def test_arguments(*chosen: str) -> tuple[str, ...]:
    """Returns arguments of `python -m` that run GPU tests in parallel processes and log each test as soon as it ends.

    Args:
        chosen: Further arguments of pytest: test files or a selection.
    """
    return ("pytest", "-o", "addopts=", "-W", "default", "-m", "gpu", "-n", "12", "--dist", "worksteal", "-v", "--tb=short", *chosen)


def suite_arguments(name: str, folder: str, *more: str) -> tuple[str, ...]:
    """Returns arguments of `python -m` that measure or resume a suite.

    Args:
        name: The suite.
        folder: The folder of the results, inside the campaign's.
        more: Further arguments of `bench all`.
    """
    command = ("bench", "all", "--suite", name, "--device", "cuda", "--out", "{folder}/" + folder, "--resume")
    return (*command, "--no-report", "--budget", "{seconds}", *more)


RISKS = "as_wide_as_it_gets or same_bits or no_hang or graphs_of_other_cells"
SMOKE = test_arguments("-k", RISKS, "tests/test_gpu.py", "tests/test_gpu_conditions.py")
LEAN = ("--lean", "--backends", "vendor,persistent")
PARALLEL = (
    "--device", "cuda", "--lean", "--cells", "minimal,cfn,gru", "--backends", "vendor,newton,persistent,stepwise", "--seq-lens", "512,2048",
    "--batch", "1,16", "--hidden", "256,1024", "--modes", "training", "--dtype", "float32",
)  # fmt: skip
TUNE = ("bench", "tune", "--suite", "headline", "--dtype", "float16", "--budget", "{seconds}", "--out", "{folder}")
LAYERS = ("bench", "tune", "--out", "{folder}", "--layers")
STEPS = (
    Step("doctor", 1, 20, ("bench", "doctor")),
    Step("smoke", 1, 50, SMOKE),
    Step("tilings", 1, 45, (*TUNE, "--tilings", "24")),
    Step("tune", 1, 75, (*TUNE, "--tilings", "4")),
    Step("headline", 1, 120, suite_arguments("headline", "headline", "--dtype", "float16", *LEAN)),
    Step("layers", 1, 15, (*LAYERS, "{folder}/headline")),
    Step(
        "tests",
        1,
        120,
        test_arguments(*(f"tests/test_gpu{part}.py" for part in ("", "_torch_operator", "_scan", "_newton", "_conditions"))),
    ),
    Step("smoke again", 2, 40, SMOKE),
    Step("tune more", 2, 60, ("bench", "tune", "--budget", "{seconds}", "--out", "{folder}")),
    Step("headline in full", 2, 130, suite_arguments("headline", "full", "--backends", "vendor,persistent,stepwise"), ending=40.0),
    Step("deepbench", 2, 60, suite_arguments("deepbench", "deepbench", *LEAN)),
    Step("more layers", 2, 15, (*LAYERS, "{folder}/full", "--layers", "{folder}/deepbench")),
    Step("scans", 2, 30, suite_arguments("scans", "scans", "--lean")),
    Step("crossover", 2, 40, suite_arguments("crossover", "crossover", *LEAN)),
    Step("newton", 2, 60, ("bench", "all", *PARALLEL, "--out", "{folder}/newton", "--resume", "--no-report", "--budget", "{seconds}")),
    Step("layers of newton", 2, 15, (*LAYERS, "{folder}/newton")),
    Step("more of headline", 2, 600, suite_arguments("headline", "headline", "--dtype", "float16", *LEAN)),
)
"""The steps, most informative first: whether the kernels run and are correct, then the fastest tile configurations, then speeds beside
cuDNN."""


def select_steps(call: int | None) -> tuple[Step, ...]:
    """Returns the steps of call 1 or 2; for None, those of both."""
    return tuple(step for step in STEPS if call in (None, step.call))


def run_campaign(folder: Path, seconds: float, steps: Sequence[Step], tell: Tell, pack: Path | None = None) -> list[str]:
    """Runs steps until the budget is spent, and packs the folder after each.

    Args:
        folder: The folder of the results; it may hold earlier ones.
        seconds: The budget.
        steps: The steps, in order.
        tell: Called with lines of progress.
        pack: The archive; by default FOLDER.tar.gz beside the folder.

    Returns:
        A line for each step that failed.

    Raises:
        UsageError: The folder or the archive can't be written.
    """
    end, wrong = time.monotonic() + seconds, []
    pack = pack or folder.with_name(f"{folder.name}.tar.gz")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(folder, pack)
    except OSError as error:
        raise UsageError(f"--out {folder} can't be written ({error.strerror}): name a folder that can") from None
    for number, step in enumerate(steps):
        left = end - time.monotonic() - GRACE_SECONDS
        if left < LEAST:
            tell(f"the budget is spent: {', '.join(s.name for s in steps[number:])} left out")
            break
        limit = min(step.limit, left)
        tell(f"{step.name}: at most {limit:.0f} of the {left:.0f} seconds left")
        begin = time.monotonic()
        code: int | None = None
        try:
            with (folder / step.log).open("a", encoding="utf-8") as log:
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
    """Writes the folder to the archive. The former archive is replaced in one operation, so a complete one always exists."""
    fresh = pack.with_name(f"{pack.name}.new")
    with tarfile.open(fresh, "w:gz", compresslevel=3) as archive:
        archive.add(folder, arcname=folder.name)
    os.replace(fresh, pack)


def run_command(command: Sequence[str], seconds: float, output: IO[str]) -> int:
    """Runs a command from the root of the repository, in its own process group, and returns its exit code.

    A command that exceeds its time gets SIGINT, as from a keyboard, so that it can write its results. After GRACE_SECONDS seconds the whole
    process group is killed.

    Args:
        command: The command line.
        seconds: The time limit.
        output: The file for stdout and stderr.

    Returns:
        The exit code; OVERDUE if the command exceeded its time.
    """
    with subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, start_new_session=True) as process:
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(GRACE_SECONDS)
            return OVERDUE
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)

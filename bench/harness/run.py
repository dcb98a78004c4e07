"""A run at the terminal: progress on stderr while it measures, then its tables, and its report beside its records.

Where what renders is not installed (rich, matplotlib or tabulate), it measures all the same and says how to render elsewhere.
"""

import contextlib
import datetime
import importlib
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from io import FileIO
from pathlib import Path

from bench.errors import UsageError
from bench.harness.device_lock import alone
from bench.harness.progress import progress, say
from bench.harness.settings import Settings
from bench.harness.worker import Worker
from bench.records import End, Environment, Record, Run, mend, read, write
from bench.render.output_format import OutputFormat


@dataclass(frozen=True)
class Limits:
    """Seconds: those after which no more sizes are begun, those that a case may take for its check or one call, and when the clock of
    the run began, of time.monotonic()."""

    budget: float
    case: float
    began: float


def measure(
    settings: Settings, folder: Path, started: datetime.datetime, command: str, limits: Limits, output_format: OutputFormat = ""
) -> None:
    """Run, write every record as it is finished, and render. What the folder has already isn't measured again. Interrupted, or out of
    disk, it says where the records are."""
    with alone(settings.device):
        worker = Worker(settings, limits.case)  # its process takes seconds to start: those in which this one plans
        try:
            carry_out(worker, folder, started, command, limits, output_format)
        finally:
            worker.kill()


def carry_out(worker: Worker, folder: Path, started: datetime.datetime, command: str, limits: Limits, output_format: OutputFormat) -> None:
    from bench.harness.jobs import jobs
    from bench.harness.supervisor import Broken, Sitting

    settings, path, count, end, code = worker.settings, folder / "records.jsonl", 0, "", 0
    until = time.monotonic() + limits.budget
    try:
        if mend(path):
            say(f"{path}: its last line was cut short when the run ended, and is left out")
        before = read(path) if path.stat().st_size else None
        planned = jobs(settings)
        with FileIO(path, "a") as stream, progress(sum(job.pieces for job in planned)) as tell:

            def emit(line: Record) -> None:
                nonlocal count
                write(stream, line)
                count += 1

            sitting = Sitting(worker, emit, tell)
            try:
                here = sitting.machine()
                threading.Thread(target=rendering, daemon=True).start()  # while kernels are checked, before any is timed
                if here.other_processes:
                    say(f"others compute on this GPU ({here.other_processes} processes): times will be theirs, too")
                if before is None:
                    stamp, known = started.strftime("%Y-%m-%dT%H:%M:%SZ"), settings.plain()
                    write(stream, Run(started=stamp, command=command, seed=settings.seed, environment=here, settings=known))
                else:
                    agree(path, before.run, settings.plain(), here)
                sitting.all(planned, before, until)
            except KeyboardInterrupt:
                sitting.stop()
                end, code = "interrupted: ", 130
            except Broken as error:
                end, code = f"{error}: ", 1
        if path.stat().st_size == 0:
            path.unlink()
            say(f"{end}nothing was measured yet")
            raise SystemExit(code)
        render(folder, count, end and f"{end}{count} records are in {path}", sitting.spent, limits.began, output_format)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the {count} records before are in it, `bench report` renders them") from None
    for line in sitting.failed:
        say(f"left out: {line}")
    if sitting.skipped:
        cases = sum(len(job.cases) for job in sitting.skipped)
        say(f"left out for want of time, {cases} cases (--resume goes on): {'; '.join(job.name for job in sitting.skipped)}")
    if code:
        raise SystemExit(code)


def render(folder: Path, count: int, end: str, spent: Mapping[str, float], began: float, output_format: OutputFormat) -> None:
    """Plots, where the time went, drawing included, the report that says so and, unless it ended early, tables: nobody may read them."""
    path = folder / "records.jsonl"
    try:
        from bench.render import export, run_report
    except ImportError as missing:
        close(path, count, spent, began)
        say(end or f"{count} records in {path}")
        say(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return
    try:
        drawn = run_report.draw(folder, read(path))
        close(path, count, spent, began)
        records = read(path)
        written = run_report.write_page(folder, records, drawn)
    except OSError as error:
        raise UsageError(f"{folder}: no report, {error.strerror}; all {count} records are in {path}") from None
    say(end or f"{count} records in {path}")
    say(f"report: {written}")
    if not end:
        export.show(records, output_format)


def rendering() -> None:
    """Import what renders, which takes seconds."""
    with contextlib.suppress(ImportError):
        importlib.import_module("bench.render.export")


def close(path: Path, count: int, spent: Mapping[str, float], began: float) -> None:
    """The last line of a run that measured something."""
    if count:
        wall = time.monotonic() - began
        with FileIO(path, "a") as stream:
            write(stream, End(wall=wall, spent={**spent, "overhead": wall - sum(spent.values())}))


SAME = (
    "device", "processor", "cores", "threads", "system", "python", "torch", "triton", "cuda", "cudnn", "driver", "compiler",
    "torchrecurrent", "packages", "commit", "dirty",
)  # fmt: skip
"""What of the environment a run is resumed in must be as it was."""


def agree(path: Path, run: Run, settings: dict[str, object], here: Environment) -> None:
    """Raises UsageError where a run to go on with was measured otherwise."""
    if not run.settings:
        raise UsageError(f"--resume: {path} doesn't say how it was measured: name a new --out")
    pairs = {name: (run.settings.get(name), value) for name, value in settings.items()}
    pairs |= {name: (getattr(run.environment, name), getattr(here, name)) for name in SAME}
    for name, (was, now) in pairs.items():
        if was != now:
            raise UsageError(f"--resume: {path} was measured with {name} {told(was)}, not {told(now)}: name a new --out")


def told(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)

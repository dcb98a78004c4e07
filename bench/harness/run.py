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
from bench.harness.device_lock import lock_device
from bench.harness.progress import print_line, show_progress
from bench.harness.settings import Settings
from bench.harness.worker import Worker
from bench.records import End, Record, Run, read_records, truncate_partial_line, write_record
from bench.records.resume import check_resumable
from bench.render.output_format import OutputFormat


@dataclass(frozen=True)
class Limits:
    """Seconds: those after which no more sizes are begun, those that a case may take for its check or one call, and when the clock of
    the run began, of time.monotonic()."""

    budget: float
    case: float
    began: float


def run_benchmark(
    settings: Settings, folder: Path, started: datetime.datetime, command: str, limits: Limits, output_format: OutputFormat = ""
) -> None:
    """Run, write every record as it is finished, and render. What the folder has already isn't measured again. Interrupted, or out of
    disk, it says where the records are."""
    with lock_device(settings.device):
        worker = Worker(settings, limits.case)  # its process takes seconds to start: those in which this one plans
        try:
            execute(worker, folder, started, command, limits, output_format)
        finally:
            worker.kill()


def execute(worker: Worker, folder: Path, started: datetime.datetime, command: str, limits: Limits, output_format: OutputFormat) -> None:
    from bench.harness.jobs import list_work_units
    from bench.harness.supervisor import NoWorker, Supervisor

    settings, path, count, end, code = worker.settings, folder / "records.jsonl", 0, "", 0
    until = time.monotonic() + limits.budget
    try:
        if truncate_partial_line(path):
            print_line(f"{path}: its last line was cut short when the run ended, and is left out")
        before = read_records(path) if path.stat().st_size else None
        planned = list_work_units(settings)
        with FileIO(path, "a") as stream, show_progress(sum(unit.pieces for unit in planned)) as tell:

            def emit(line: Record) -> None:
                nonlocal count
                write_record(stream, line)
                count += 1

            supervisor = Supervisor(worker, emit, tell)
            try:
                here = supervisor.read_machine()
                if output_format != "none":
                    threading.Thread(target=import_renderers, daemon=True).start()  # while kernels are checked, before any is timed
                if here.other_processes:
                    print_line(f"others compute on this GPU ({here.other_processes} processes): times will be theirs, too")
                if before is None:
                    stamp, known = started.strftime("%Y-%m-%dT%H:%M:%SZ"), settings.to_json()
                    write_record(stream, Run(started=stamp, command=command, seed=settings.seed, environment=here, settings=known))
                else:
                    check_resumable(path, before.run, settings.to_json(), here)
                supervisor.run_units(planned, before, until)
            except KeyboardInterrupt:
                supervisor.stop()
                end, code = "interrupted: ", 130
            except NoWorker as error:
                end, code = f"{error}: ", 1
        if path.stat().st_size == 0:
            path.unlink()
            print_line(f"{end}nothing was measured yet")
            raise SystemExit(code)
        render_run(folder, count, end and f"{end}{count} records are in {path}", supervisor.spent, limits.began, output_format)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the {count} records before are in it, `bench report` renders them") from None
    for line in supervisor.failed:
        print_line(f"left out: {line}")
    if supervisor.skipped:
        cases = sum(len(unit.cases) for unit in supervisor.skipped)
        print_line(f"left out for lack of time, {cases} cases (--resume continues): {'; '.join(unit.name for unit in supervisor.skipped)}")
    if code:
        raise SystemExit(code)


def render_run(folder: Path, count: int, end: str, spent: Mapping[str, float], began: float, output_format: OutputFormat) -> None:
    """Plots, where the time went, drawing included, the report that says so and, unless it ended early, tables: nobody may read them."""
    path = folder / "records.jsonl"
    if output_format == "none":
        write_end(path, count, spent, began)
        print_line(end or f"{count} records in {path}")
        return
    try:
        from bench.render import export, run_report
    except ImportError as missing:
        write_end(path, count, spent, began)
        print_line(end or f"{count} records in {path}")
        print_line(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return
    try:
        drawn = run_report.draw(folder, read_records(path))
        write_end(path, count, spent, began)
        records = read_records(path)
        written = run_report.page(folder, records, drawn)
    except OSError as error:
        raise UsageError(f"{folder}: no report, {error.strerror}; all {count} records are in {path}") from None
    print_line(end or f"{count} records in {path}")
    print_line(f"report: {written}")
    if not end:
        export.show(records, output_format)


def import_renderers() -> None:
    """Import what renders, which takes seconds."""
    with contextlib.suppress(ImportError):
        importlib.import_module("bench.render.export")


def write_end(path: Path, count: int, spent: Mapping[str, float], began: float) -> None:
    """The last line of a run that measured something."""
    if count:
        wall = time.monotonic() - began
        with FileIO(path, "a") as stream:
            write_record(stream, End(wall=wall, spent={**spent, "overhead": wall - sum(spent.values())}))

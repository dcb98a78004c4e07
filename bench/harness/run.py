"""Runs experiments of any kind: makes the folder, appends each record as soon as it is measured, resumes, stops in time, and renders.

If a run is interrupted, runs out of disk space or fails, its records stay, and it prints where they are. If the packages that render
(rich, matplotlib, tabulate) are missing, it still measures, and prints how to render elsewhere.
"""

import contextlib
import datetime
import importlib
import json
import math
import shlex
import sys
import threading
import time
from dataclasses import dataclass, field, replace
from io import FileIO
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.harness.device import check_folder, make_run_folder, remove_empty
from bench.harness.device_lock import lock_device
from bench.harness.experiment import Experiment, OpenRun, RunStopped
from bench.harness.progress import print_line
from bench.records import End, Environment, Records, Run, read_records, truncate_partial_line, write_record
from bench.records.resume import check_resumable
from bench.render.output_format import OutputFormat
from bench.render.warnings import list_machine_warnings


@dataclass(frozen=True)
class RunOptions:
    """The options of every run.

    Attributes:
        out: The folder; None for a new one in reports/.
        resume: `out` may hold a run to resume.
        budget: The seconds after which no new work starts.
        output_format: The format of the data written to stdout at the end.
        began: The start of the run on the clock of `time.monotonic`.
        wait: Wait for another run that measures on the device, instead of being refused.
        name: The name of the run; "" for that of the experiment.
    """

    out: Path | None = None
    resume: bool = False
    budget: float = math.inf
    output_format: OutputFormat = ""
    began: float = field(default_factory=time.monotonic)
    wait: bool = False
    name: str = ""


def run_experiment(experiment: Experiment, options: RunOptions) -> None:
    """Measures an experiment and renders its report.

    Args:
        experiment: The experiment.
        options: The options of the run.

    Raises:
        UsageError: The folder can't be written, or it holds a run with other settings.
        SystemExit: The run was interrupted (130), or something failed (1).
    """
    check_folder(options.out, options.resume)
    asked = time.monotonic()
    with lock_device(experiment.device, options.wait):
        options = replace(options, began=options.began + time.monotonic() - asked)
        folder = make_run_folder(options.out, experiment.device, options.name or experiment.name, resume=options.resume)
        try:
            count, end, code = measure(experiment, options, folder)
        finally:
            remove_empty(folder)
    for line in experiment.failed:
        print_line(f"left out: {line}")
    for line in experiment.left_out:
        print_line(f"left out for lack of time, {line}")
    if end:
        print_line(f"{end}: {count} records are in {folder / 'records.jsonl'}")
    if end or experiment.left_out:
        print_line(f"--out {folder} --resume continues")
    if code or experiment.exit_code:
        raise SystemExit(code or experiment.exit_code)


def measure(experiment: Experiment, options: RunOptions, folder: Path) -> tuple[int, str, int]:
    """Measures an experiment into its folder and renders it.

    Returns:
        The number of new records, why the run ended early ("" if it didn't), and the exit code.
    """
    started, until = datetime.datetime.now(datetime.UTC), time.monotonic() + options.budget
    path, count, end, code = folder / "records.jsonl", 0, "", 0
    try:
        with experiment:
            before = read_earlier(path)
            with FileIO(path, "a") as stream:
                run = OpenRun(folder, stream, before, until)
                try:
                    here = experiment.read_environment()
                    if options.output_format != "none":
                        threading.Thread(target=import_renderers, daemon=True).start()  # before anything is timed
                    for warning in list_machine_warnings(here):
                        print_line(warning)
                    if before:
                        check_resumable(path, before.run, to_json(experiment.settings), here)
                    else:
                        write_record(stream, describe_run(experiment, options.name, started, here))
                    if experiment.plan and (before.plans[-1:] if before else []) != [experiment.plan]:
                        write_record(stream, experiment.plan)
                    experiment.measure(run)
                except KeyboardInterrupt:
                    experiment.interrupt(run)
                    end, code = "interrupted", 130
                except RunStopped as error:
                    end, code = str(error), 1
                finally:
                    count = run.count
        if path.stat().st_size == 0:
            print_line(f"bench: {end}: nothing was measured yet")
            raise SystemExit(code)
        if not end:
            print_line(f"{count} records in {path}")
        render_run(folder, count, experiment, options, tables=not end)
    except OSError as error:
        kept = f"the {count} records before are in it, `bench report` renders them" if count else "make room and start again"
        raise UsageError(f"{path}: {error.strerror}; {kept}") from None
    return count, end, code


def read_earlier(path: Path) -> Records | None:
    """Returns the records of the run that is resumed, without a partial last line; None for a new run, or if its first line is partial."""
    if truncate_partial_line(path):
        print_line(f"{path}: its last line was cut short when the run ended, and is left out")
    return read_records(path) if path.stat().st_size else None


def describe_run(experiment: Experiment, name: str, started: datetime.datetime, here: Environment) -> Run:
    """Returns the first record of a run."""
    command = shlex.join([*experiment.launcher, "-m", "bench", *sys.argv[1:]])
    known, stamp = to_json(experiment.settings), started.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Run(
        started=stamp, command=command, name=name, seed=experiment.settings.get("seed", 0), environment=here, settings=known,
        method=experiment.method,
    )  # fmt: skip


def to_json(settings: dict[str, Any]) -> dict[str, Any]:
    """Returns settings as they are read back from a file: with lists in place of tuples."""
    return dict(json.loads(json.dumps(settings)))


def render_run(folder: Path, count: int, experiment: Experiment, options: RunOptions, tables: bool) -> None:
    """Draws the plots, writes the last record and the report, and prints the tables if asked for.

    The last record counts the time that drawing takes, so it is written between the plots and the report.
    """
    path = folder / "records.jsonl"
    if options.output_format == "none" or not (measured := read_records(path)).has_measurements:
        write_end(path, count, experiment, options)
        return
    try:
        from bench.render import export, run_report
    except ImportError as missing:
        write_end(path, count, experiment, options)
        print_line(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return
    try:
        drawn = run_report.draw_plots(folder, measured)
        write_end(path, count, experiment, options)
        records = read_records(path)
        written = run_report.write_page(folder, records, drawn)
    except OSError as error:
        raise UsageError(f"{folder}: no report, {error.strerror}; all {count} records are in {path}") from None
    print_line(f"report: {written}")
    if tables:
        export.write_run(records, options.output_format)


def import_renderers() -> None:
    """Imports the rendering packages, which takes seconds."""
    with contextlib.suppress(ImportError):
        importlib.import_module("bench.render.export")


def write_end(path: Path, count: int, experiment: Experiment, options: RunOptions) -> None:
    """Writes the last record, with seconds by activity if the experiment counts them, if something was measured or the run has none."""
    if count or not read_records(path).ends:
        wall = time.monotonic() - options.began
        spent = {**experiment.spent, "overhead": wall - sum(experiment.spent.values())} if experiment.spent else {}
        with FileIO(path, "a") as stream:
            write_record(stream, End(wall=wall, spent=spent, constants=experiment.constants))

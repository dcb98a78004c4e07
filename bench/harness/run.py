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
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any

from bench.errors import UsageError
from bench.harness.device import make_run_folder
from bench.harness.device_lock import lock_device
from bench.harness.experiment import Experiment, OpenRun, RunStopped
from bench.harness.progress import print_line
from bench.records import End, Environment, Records, Run, read_records, truncate_partial_line, write_record
from bench.records.resume import check_resumable
from bench.render.output_format import OutputFormat


@dataclass(frozen=True)
class RunOptions:
    """The options of every run.

    Attributes:
        out: The folder; None for a new one in reports/.
        resume: `out` may hold a run to resume.
        budget: The seconds after which no new work starts.
        output_format: The format of the data written to stdout at the end.
        began: The start of the run on the clock of `time.monotonic`.
    """

    out: Path | None = None
    resume: bool = False
    budget: float = math.inf
    output_format: OutputFormat = ""
    began: float = field(default_factory=time.monotonic)


def run_experiment(experiment: Experiment, options: RunOptions) -> None:
    """Measures an experiment and renders its report.

    Args:
        experiment: The experiment.
        options: The options of the run.

    Raises:
        UsageError: The folder can't be written, or it holds a run with other settings.
        SystemExit: The run was interrupted (130), or something failed (1).
    """
    started, until = datetime.datetime.now(datetime.UTC), time.monotonic() + options.budget
    folder = make_run_folder(options.out, experiment.device, experiment.name, resume=options.resume)
    path, count, end, code = folder / "records.jsonl", 0, "", 0
    try:
        with lock_device(experiment.device), experiment:
            before = read_earlier(path)
            with FileIO(path, "a") as stream:
                run = OpenRun(folder, stream, before, until)
                try:
                    here = experiment.read_environment()
                    if options.output_format != "none":
                        threading.Thread(target=import_renderers, daemon=True).start()  # before anything is timed
                    if here.other_processes:
                        print_line(f"{here.other_processes} other processes use this GPU and may slow down what is timed")
                    if before:
                        check_resumable(path, before.run, to_json(experiment.settings), here)
                    else:
                        write_record(stream, describe_run(experiment, started, here))
                    experiment.measure(run)
                except KeyboardInterrupt:
                    experiment.interrupt(run)
                    end, code = "interrupted", 130
                except RunStopped as error:
                    end, code = str(error), 1
                finally:
                    count = run.count
        if path.stat().st_size == 0:
            path.unlink()
            print_line(f"{end}: nothing was measured yet")
            raise SystemExit(code)
        if not end:
            print_line(f"{count} records in {path}")
        render_run(folder, count, experiment, options, tables=not end)
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; the {count} records before are in it, `bench report` renders them") from None
    for line in experiment.failed:
        print_line(f"left out: {line}")
    for line in experiment.left_out:
        print_line(f"left out for lack of time, {line}")
    if end:
        print_line(f"{end}: {count} records are in {path}")
    if end or experiment.left_out:
        print_line(f"--out {folder} --resume continues")
    if code or experiment.exit_code:
        raise SystemExit(code or experiment.exit_code)


def read_earlier(path: Path) -> Records | None:
    """Returns the records of the run that is resumed, without a partial last line; None for a new run."""
    if truncate_partial_line(path):
        print_line(f"{path}: its last line was cut short when the run ended, and is left out")
    return read_records(path) if path.stat().st_size else None


def describe_run(experiment: Experiment, started: datetime.datetime, here: Environment) -> Run:
    """Returns the first record of a run."""
    command = shlex.join([*experiment.launcher, "-m", "bench", *sys.argv[1:]])
    known, stamp = to_json(experiment.settings), started.strftime("%Y-%m-%dT%H:%M:%SZ")
    return Run(started=stamp, command=command, seed=experiment.settings.get("seed", 0), environment=here, settings=known)


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
    """Writes the last record, seconds by activity, if something was measured and the experiment counts them."""
    if count and experiment.spent:
        wall = time.monotonic() - options.began
        spent = {**experiment.spent, "overhead": wall - sum(experiment.spent.values())}
        with FileIO(path, "a") as stream:
            write_record(stream, End(wall=wall, spent=spent, constants=experiment.constants))

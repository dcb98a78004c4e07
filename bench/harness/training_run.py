"""A run of trainings at the terminal: its curves on stderr, its records and its report in a folder, its table on stdout."""

import datetime
import time
from io import FileIO
from pathlib import Path

import torch

from bench.errors import UsageError
from bench.harness.device_lock import lock_device
from bench.harness.progress import print_line
from bench.harness.training_view import show_trainings
from bench.measure import environment
from bench.records import Records, Run, read_records, truncate_partial_line, write_record
from bench.records.resume import check_resumable
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.studies.training.training_plan import TrainingPlan
from bench.studies.training.trainings import TrainingRunner


def run_trainings(plan: TrainingPlan, device: str, folder: Path, started: datetime.datetime, command: str, seconds: float) -> None:
    """Train what the folder hasn't finished, for `seconds` in all, and render. Interrupted, it says how to go on."""
    with lock_device(device):
        execute_trainings(plan, device, folder, started, command, time.monotonic() + seconds)


def execute_trainings(plan: TrainingPlan, device: str, folder: Path, started: datetime.datetime, command: str, until: float) -> None:
    path = folder / "records.jsonl"
    if truncate_partial_line(path):
        print_line(f"{path}: its last line was cut short when the run ended, and is left out")
    before = read_records(path) if path.stat().st_size else None
    (folder / "checkpoints").mkdir(exist_ok=True)
    here = environment.read_environment(torch.device(device))
    known = {"task": plan.task.name, "H": plan.task.H, "rates": list(plan.task.rates), **plan.task.sizes()}
    if before:
        check_resumable(path, before.run, known, here)
    left, end = 0, ""
    runner: TrainingRunner | None = None
    try:
        with FileIO(path, "a") as stream, show_trainings(plan.task.metric) as shown:

            def emit(line: TrainingRecord | LearnedRecord) -> None:
                write_record(stream, line)
                if isinstance(line, TrainingRecord):
                    shown.add_record(line)

            if not before:
                stamp = started.strftime("%Y-%m-%dT%H:%M:%SZ")
                write_record(stream, Run(started=stamp, command=command, seed=0, environment=here, settings=known))
            done = before.training if before else []
            runner = TrainingRunner(plan, torch.device(device), folder / "checkpoints", emit, shown.add_point, until, list(done))
            left = runner.run_all()
    except KeyboardInterrupt:
        end = "interrupted"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; what was finished before is in it, --resume continues") from None
    render_trainings(folder, read_records(path))
    if left or end:
        print_line(f"{end or f'{left} trainings had no time to finish'}: --out {folder} --resume continues")
    if runner and runner.wrong:
        print_line("; ".join(runner.wrong.values()))
    if end or (runner and runner.wrong):
        raise SystemExit(130 if end else 1)


def render_trainings(folder: Path, records: Records) -> None:
    """The table on stdout, the report beside the records; nothing where no training has a record yet."""
    if not records.training:
        return
    from bench.render import run_report, training_report
    from bench.render.terminal import terminal

    for table in training_report.tables(records):
        terminal().print(table)
    try:
        written = run_report.write(folder, records)
    except OSError as error:
        raise UsageError(f"{folder}: no report, {error.strerror}; all records are in {folder / 'records.jsonl'}") from None
    print_line(f"report: {written[0]}")

"""A run of trainings at the terminal: its curves on stderr, its records and its report in a folder, its table on stdout."""

import datetime
import time
from io import FileIO
from pathlib import Path

import torch

from bench.errors import UsageError
from bench.harness.device_lock import alone
from bench.harness.progress import say
from bench.harness.run import agree
from bench.harness.training_view import view
from bench.measure import environment
from bench.records import Records, Run, mend, read, write
from bench.records.training_record import LearnedRecord, TrainingRecord
from bench.studies.training.training_plan import Plan
from bench.studies.training.trainings import Runner


def measure(plan: Plan, device: str, folder: Path, started: datetime.datetime, command: str, seconds: float) -> None:
    """Train what the folder hasn't finished, for `seconds` in all, and render. Interrupted, it says how to go on."""
    with alone(device):
        carry_out(plan, device, folder, started, command, time.monotonic() + seconds)


def carry_out(plan: Plan, device: str, folder: Path, started: datetime.datetime, command: str, until: float) -> None:
    path = folder / "records.jsonl"
    if mend(path):
        say(f"{path}: its last line was cut short when the run ended, and is left out")
    before = read(path) if path.stat().st_size else None
    (folder / "checkpoints").mkdir(exist_ok=True)
    here = environment.capture(torch.device(device))
    known = {"task": plan.task.name, "H": plan.task.H, "rates": list(plan.task.rates), **plan.task.sizes()}
    if before:
        agree(path, before.run, known, here)
    left, end = 0, ""
    runner: Runner | None = None
    try:
        with FileIO(path, "a") as stream, view(plan.task.metric) as shown:

            def emit(line: TrainingRecord | LearnedRecord) -> None:
                write(stream, line)
                if isinstance(line, TrainingRecord):
                    shown.finished(line)

            if not before:
                stamp = started.strftime("%Y-%m-%dT%H:%M:%SZ")
                write(stream, Run(started=stamp, command=command, seed=0, environment=here, settings=known))
            done = before.training if before else []
            runner = Runner(plan, torch.device(device), folder / "checkpoints", emit, shown.tell, until, list(done))
            left = runner.run()
    except KeyboardInterrupt:
        end = "interrupted"
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; what was finished before is in it, --resume goes on") from None
    render(folder, read(path))
    if left or end:
        say(f"{end or f'{left} trainings had no time to finish'}: --out {folder} --resume goes on")
    if runner and runner.wrong:
        say("; ".join(runner.wrong.values()))
    if end or (runner and runner.wrong):
        raise SystemExit(130 if end else 1)


def render(folder: Path, records: Records) -> None:
    """The table on stdout, the report beside the records; nothing where no training has a record yet."""
    if not records.training:
        return
    from bench.render import console, run_report, training_report

    console.print_tables(training_report.result_tables(records))
    try:
        written = run_report.write(folder, records)
    except OSError as error:
        raise UsageError(f"{folder}: no report, {error.strerror}; all records are in {folder / 'records.jsonl'}") from None
    say(f"report: {written[0]}")

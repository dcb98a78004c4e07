"""A run at the terminal: progress on stderr while it measures, then its tables, and its report beside its records."""

import datetime
import os
import platform
import re
from io import FileIO
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from bench import console, record, report
from bench.settings import Settings, SettingsError


def device(wanted: str) -> str:
    """ "cuda" or "cpu": what was asked for, else what is here. Without a GPU, Triton runs in its interpreter from here on."""
    import torch

    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise SettingsError("--device cuda: torch finds no GPU here (`bench doctor` says more); use --device cpu")
    chosen = wanted or ("cuda" if here else "cpu")
    if chosen == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    return chosen


def nickname(device: str) -> str:
    """A device's name for a folder: "nvidia-h200", "cpu-amd-epyc"."""
    import torch

    from bench.environment import processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {processor() or platform.machine()}"
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", name.lower()))
    return "-".join(words[:4])


def dry_run(settings: Settings) -> None:
    from bench.cases import cases, verified

    table = Table("cell", "backend", "mode", "input product", "T", "B", "D", "H", "dtype")
    planned = verified(settings) + cases(settings)
    for case in planned:
        row = (case.T, case.B, case.D, case.H)
        inside = "inside" if case.input_product else "given"
        table.add_row(case.cell, case.backend, case.mode, inside, *map(str, row), case.dtype)
    terminal = Console()
    terminal.print(table)
    terminal.print(f"{len(planned)} cases, none measured")


def measure(settings: Settings, folder: Path, started: datetime.datetime, command: str) -> None:
    """Run, write every record as it is finished, and render. Interrupted or out of disk, it says where the records are."""
    import torch

    from bench import environment
    from bench.run import Runner, pieces

    terminal = Console(stderr=True)
    path = folder / "records.jsonl"
    count, end = 0, ""
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), BarColumn(20), *numbers, TextColumn("{task.description}"))
    try:
        with FileIO(path, "w") as stream, Progress(*columns, console=terminal, transient=True) as progress:
            task = progress.add_task("reading the machine", total=pieces(settings))

            def emit(line: record.CaseRecord | record.GradientRecord) -> None:
                nonlocal count
                record.write(stream, line)
                count += 1

            def tell(what: str, finished: int) -> None:
                progress.update(task, description=what, advance=finished)

            here = environment.capture(torch.device(settings.device))
            stamp = started.strftime("%Y-%m-%dT%H:%M:%SZ")
            record.write(stream, record.Run(started=stamp, command=command, seed=settings.seed, environment=here))
            Runner(settings, emit, tell).run()
    except KeyboardInterrupt:
        if path.stat().st_size == 0:
            path.unlink()
            terminal.print("interrupted: nothing was measured yet")
            raise SystemExit(130) from None
        end = f"interrupted: {count} records are in {path}"
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; the {count} records before are in it, `bench report` renders them") from None
    records = record.read(path)
    if not end:
        for table in console.tables(records):
            Console().print(table)
    try:
        written = report.write(folder, records)
    except OSError as error:
        raise SettingsError(f"{folder}: no report, {error.strerror}; all {count} records are in {path}") from None
    terminal.print(end or f"{count} records in {path}", highlight=False)
    terminal.print(f"report: {written[0]}", highlight=False)
    if end:
        raise SystemExit(130)

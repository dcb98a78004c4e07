"""A run at the terminal: progress on stderr while it measures, then its tables, and its report beside its records.

Where what renders is not installed (rich, matplotlib or tabulate), it measures all the same and says how to render elsewhere.
"""

import datetime
import math
import os
import platform
import re
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

from bench.records import CaseRecord, Environment, GradientRecord, Records, Run, read, write
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

    from bench.measure.environment import processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {processor() or platform.machine()}"
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", name.lower()))
    return "-".join(words[:4])


def dry_run(settings: Settings) -> None:
    from rich.console import Console
    from rich.table import Table

    from bench.cases import groups, verified

    table = Table("cell", "backend", "mode", "input product", "T", "B", "D", "H", "dtype")
    planned = verified(settings) + [case for group in groups(settings) for case in group.cases]
    for case in planned:
        row = (case.T, case.B, case.D, case.H)
        inside = "inside" if case.input_product else "given"
        table.add_row(case.cell, case.backend, case.mode, inside, *map(str, row), case.dtype)
    terminal = Console()
    terminal.print(table)
    terminal.print(f"{len(planned)} cases, none measured")


def measure(settings: Settings, folder: Path, started: datetime.datetime, command: str, seconds: float = math.inf) -> None:
    """Run, write every record as it is finished, and render. What the folder has already isn't measured again, and after `seconds` no
    more sizes are begun. Interrupted or out of disk, it says where the records are."""
    import torch

    from bench.measure import environment
    from bench.measure.run import Lost, Runner, pieces
    from bench.measure.watch import watch

    until = time.monotonic() + seconds
    path = folder / "records.jsonl"
    count, end, code = 0, "", 0
    runner: Runner | None = None
    try:
        before = read(path) if path.stat().st_size else None
        with FileIO(path, "a") as stream, progress(pieces(settings)) as tell:

            def emit(line: CaseRecord | GradientRecord) -> None:
                nonlocal count
                write(stream, line)
                count += 1

            here = environment.capture(torch.device(settings.device))
            if before is None:
                stamp, known = started.strftime("%Y-%m-%dT%H:%M:%SZ"), settings.plain()
                run = Run(started=stamp, command=command, seed=settings.seed, environment=here, settings=known)
                write(stream, run)
            else:
                agree(path, before.run, settings.plain(), here)
            runner = Runner(settings, emit, tell, before, until)
            with watch(runner):
                runner.run()
    except KeyboardInterrupt:
        if path.stat().st_size == 0:
            path.unlink()
            say("interrupted: nothing was measured yet")
            raise SystemExit(130) from None
        end, code = f"interrupted: {count} records are in {path}", 130
    except Lost as error:
        end, code = f"{error}: {count} records are in {path}, --resume goes on without it", 1
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; the {count} records before are in it, `bench report` renders them") from None
    render(folder, read(path), count, end)
    if runner and runner.left:
        cases = sum(len(group.cases) for group in runner.left)
        say(f"left out for want of time, {cases} cases (--resume goes on): {'; '.join(group.name for group in runner.left)}")
    if code:
        raise SystemExit(code)


def render(folder: Path, records: Records, count: int, end: str) -> None:
    """The tables, unless it ended early, and the report."""
    path = folder / "records.jsonl"
    try:
        from rich.console import Console

        from bench.render import console, report
    except ImportError as missing:
        say(end or f"{count} records in {path}")
        say(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return
    if not end:
        for table in console.tables(records):
            Console().print(table)
    try:
        written = report.write(folder, records)
    except OSError as error:
        raise SettingsError(f"{folder}: no report, {error.strerror}; all {count} records are in {path}") from None
    say(end or f"{count} records in {path}")
    say(f"report: {written[0]}")


SAME = ("device", "torch", "triton", "cuda", "cudnn", "driver", "torchrecurrent", "commit")
"""What of the environment a run is resumed in must be as it was."""


def agree(path: Path, run: Run, settings: dict[str, object], here: Environment) -> None:
    """Raises SettingsError where a run to go on with was measured otherwise."""
    if not run.settings:
        raise SettingsError(f"--resume: {path} doesn't say how it was measured: name a new --out")
    pairs = {name: (run.settings.get(name), value) for name, value in settings.items()}
    pairs |= {name: (getattr(run.environment, name), getattr(here, name)) for name in SAME}
    for name, (was, now) in pairs.items():
        if was != now:
            raise SettingsError(f"--resume: {path} was measured with {name} {told(was)}, not {told(now)}: name a new --out")


def told(value: object) -> str:
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)


def say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


@contextmanager
def progress(total: int) -> Iterator[Callable[[str, int], None]]:
    """Shows what runs now: as a bar or, without rich, a line for each piece of work."""
    try:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    except ImportError:
        yield lambda what, finished: say(what) if finished else None
        return
    numbers = (MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    columns = (SpinnerColumn(), BarColumn(20), *numbers, TextColumn("{task.description}"))
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("reading the machine", total=total)
        yield lambda what, finished: bar.update(task, description=what, advance=finished)

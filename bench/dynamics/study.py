"""A study at the terminal: progress on stderr while it measures, each record written as it is finished, its tables on stdout, and a
report beside its records."""

import datetime
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import torch

from bench.device import target
from bench.dynamics.thread import one_thread
from bench.measure import environment
from bench.progress import progress, say
from bench.records import DecayRecord, GradientRecord, JacobianRecord, MapRecord, Run, TheoryRecord, read, write
from bench.settings import SettingsError

Finding = GradientRecord | JacobianRecord | TheoryRecord | MapRecord | DecayRecord
Piece = tuple[str, Callable[[], Finding]]
"""What is measured, in words, and how."""


def run(verb: str, pieces: Sequence[Piece], settings: dict[str, Any], out: Path | None) -> None:
    """Measure all pieces into a new folder and render them. Interrupted, it keeps what is finished. Raises SettingsError for a folder
    that can't be written."""
    today = datetime.datetime.now(datetime.UTC)
    device = settings["device"]
    place = target(out, device, verb)
    path, code = place / "records.jsonl", 0
    line = Run(
        started=today.strftime("%Y-%m-%dT%H:%M:%SZ"), command=shlex.join(["python", "-m", "bench", *sys.argv[1:]]),
        seed=settings.get("seed", 0), environment=environment.capture(torch.device(device), rates=False), settings=settings,
    )  # fmt: skip
    try:
        with one_thread(), FileIO(path, "a") as stream, progress(len(pieces)) as tell:
            write(stream, line)
            for found in measured(pieces, tell):
                write(stream, found)
    except KeyboardInterrupt:
        say("interrupted: what is finished is in the report")
        code = 130
    except OSError as error:
        raise SettingsError(f"{path}: {error.strerror}; `bench report` renders what was written before") from None
    render(place)
    if code:
        raise SystemExit(code)


def measured(pieces: Iterable[Piece], tell: Callable[[str, int], None]) -> Iterable[Finding]:
    for name, measure in pieces:
        tell(name, 0)
        yield measure()
        tell(name, 1)


def render(target: Path) -> None:
    """The tables, and the report."""
    records = read(target)
    try:
        from bench.render import chaos, gradients, jacobians, report, theory
    except ImportError as missing:
        say(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {target} renders it")
        return
    sections = [
        *gradients.section(records.gradients), *jacobians.section(records.jacobians), *theory.section(records.theory),
        *chaos.section(records.maps, records.decays),
    ]  # fmt: skip
    print("\n\n".join(part for part in sections if part and not part.startswith("<details>")))
    say(f"report: {report.write(target, records)[0]}")

"""A study at the terminal: progress on stderr while it measures, each record written as it is finished, its tables on stdout, and a
report beside its records.

Pieces are measured in their order, each from its own seed, and a piece is one record: so a run that ended, however it did, goes on
after as many pieces as it has records.
"""

import datetime
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from io import FileIO
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from bench.harness.device import target
from bench.harness.progress import progress, say
from bench.harness.run import agree
from bench.measure import environment
from bench.measure.failure import first_line, full
from bench.records import Run, mend, read, write
from bench.studies.signals.piece import Piece, SignalRecord
from bench.studies.signals.single_thread import one_thread
from bench.studies.signals.study_options import Place


def run(verb: str, pieces: Sequence[Piece], settings: dict[str, Any], place: Place) -> None:
    """Measure the pieces that the folder doesn't have, and render. Interrupted, or out of time, it keeps what is finished. Raises
    UsageError for a folder that can't be written, or that was measured otherwise."""
    until = time.monotonic() + place.seconds
    folder = target(place.out, settings["device"], verb, resume=place.resume)
    path, end, code = folder / "records.jsonl", "out of time", 0
    try:
        left = pieces[begin(path, settings) :]
        with one_thread(), FileIO(path, "a") as stream, progress(len(left)) as tell:
            for found in measured(left, tell, until):
                write(stream, found)
    except KeyboardInterrupt:
        end, code = "interrupted", 130
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; what was finished before is in it, --resume goes on") from None
    except Exception as error:
        if not full(error):
            raise
        end, code = f"out of memory ({first_line(error)})", 1
    if path.stat().st_size == 0:
        path.unlink()
        say(f"{end}: nothing was measured yet")
        raise SystemExit(code)
    finished = render(folder)
    if finished < len(pieces):
        say(f"{end}: {finished} of {len(pieces)} pieces are finished; --out {folder} --resume goes on")
    if code:
        raise SystemExit(code)


def begin(path: Path, settings: dict[str, Any]) -> int:
    """Write the first line of a new file, or hold that of an old one against what is to be measured now. How many records it has."""
    here = environment.capture(torch.device(settings["device"]), rates=False)
    known = json.loads(json.dumps(settings))  # as a file has them
    if mend(path):
        say(f"{path}: its last line was cut short when the run ended, and is left out")
    if path.stat().st_size:
        before = read(path)
        agree(path, before.run, known, here)
        return before.studied
    today, command = datetime.datetime.now(datetime.UTC), shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    line = Run(started=f"{today:%Y-%m-%dT%H:%M:%SZ}", command=command, seed=settings.get("seed", 0), environment=here, settings=known)
    with FileIO(path, "a") as stream:
        write(stream, line)
    return 0


def measured(pieces: Iterable[Piece], tell: Callable[[str, int], None], until: float) -> Iterable[SignalRecord]:
    for name, measure in pieces:
        if time.monotonic() > until:
            return
        tell(name, 0)
        yield measure()
        tell(name, 1)


def render(folder: Path) -> int:
    """The tables, and the report, of what there is. How many pieces are in them."""
    records = read(folder)
    if not records.studied:
        return 0
    try:
        from bench.render import console, run_report
    except ImportError as missing:
        say(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return records.studied
    console.print_tables(list(console.list_study_tables(records)))
    say(f"report: {run_report.write(folder, records)[0]}")
    return records.studied

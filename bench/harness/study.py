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
from bench.harness.device import make_run_folder
from bench.harness.progress import print_line, show_progress
from bench.measure import environment
from bench.measure.failure import first_line, is_out_of_memory
from bench.records import Run, read_records, truncate_partial_line, write_record
from bench.records.resume import check_resumable
from bench.studies.signals.piece import Piece, SignalRecord
from bench.studies.signals.single_thread import one_thread
from bench.studies.signals.study_options import StudyOptions


def run_study(command: str, pieces: Sequence[Piece], settings: dict[str, Any], options: StudyOptions) -> None:
    """Measure the pieces that the folder doesn't have, and render. Interrupted, or out of time, it keeps what is finished. Raises
    UsageError for a folder that can't be written, or that was measured otherwise."""
    until = time.monotonic() + options.seconds
    folder = make_run_folder(options.out, settings["device"], command, resume=options.resume)
    path, end, code = folder / "records.jsonl", "out of time", 0
    try:
        left = pieces[start_or_resume(path, settings) :]
        with one_thread(), FileIO(path, "a") as stream, show_progress(len(left)) as tell:
            for found in measure_pieces(left, tell, until):
                write_record(stream, found)
    except KeyboardInterrupt:
        end, code = "interrupted", 130
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}; what was finished before is in it, --resume continues") from None
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        end, code = f"out of memory ({first_line(error)})", 1
    if path.stat().st_size == 0:
        path.unlink()
        print_line(f"{end}: nothing was measured yet")
        raise SystemExit(code)
    finished = render_study(folder)
    if finished < len(pieces):
        print_line(f"{end}: {finished} of {len(pieces)} pieces are finished; --out {folder} --resume continues")
    if code:
        raise SystemExit(code)


def start_or_resume(path: Path, settings: dict[str, Any]) -> int:
    """Write the first line of a new file, or hold that of an old one against what is to be measured now. How many records it has."""
    here = environment.read_environment(torch.device(settings["device"]), rates=False)
    known = json.loads(json.dumps(settings))  # as a file has them
    if truncate_partial_line(path):
        print_line(f"{path}: its last line was cut short when the run ended, and is left out")
    if path.stat().st_size:
        before = read_records(path)
        check_resumable(path, before.run, known, here)
        return before.dynamics_count
    today, command = datetime.datetime.now(datetime.UTC), shlex.join(["python", "-m", "bench", *sys.argv[1:]])
    line = Run(started=f"{today:%Y-%m-%dT%H:%M:%SZ}", command=command, seed=settings.get("seed", 0), environment=here, settings=known)
    with FileIO(path, "a") as stream:
        write_record(stream, line)
    return 0


def measure_pieces(pieces: Iterable[Piece], tell: Callable[[str, int], None], until: float) -> Iterable[SignalRecord]:
    for name, measure in pieces:
        if time.monotonic() > until:
            return
        tell(name, 0)
        yield measure()
        tell(name, 1)


def render_study(folder: Path) -> int:
    """The tables, and the report, of what there is. How many pieces are in them."""
    records = read_records(folder)
    if not records.dynamics_count:
        return 0
    try:
        from bench.render import chaos_report, gradient_report, jacobian_report, run_report, theory_report
    except ImportError as missing:
        print_line(f"no report: {missing.name} is not installed here; elsewhere, python -m bench report {folder} renders it")
        return records.dynamics_count
    sections = [
        *gradient_report.section(records.gradients), *jacobian_report.section(records.jacobians), *theory_report.section(records.theory),
        *chaos_report.section(records.maps, records.decays),
    ]  # fmt: skip
    print("\n\n".join(part for part in sections if part and not part.startswith("<details>")))
    print_line(f"report: {run_report.write(folder, records)[0]}")
    return records.dynamics_count

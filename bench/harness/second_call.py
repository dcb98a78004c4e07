"""Chooses the steps of a campaign's call 2 from the results of call 1: failed tests, unfinished steps, cases without a time, then the
regular steps of call 2.

The folder and its tables may come from another machine. The tables' entries are added to those of the devices here.
"""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from bench.harness.campaign import OUTCOMES, SMOKE, Outcome, Step, select_steps, suite_arguments, test_arguments
from bench.records import FAILURES
from kernels.layer import measured_layers
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import Chip

Revision = tuple[str, bool]
"""A commit, and whether the working tree has uncommitted changes."""

AGAIN, MOST = Step("failed tests", 2, 60, test_arguments()), 60
"""The step that repeats failed tests, without its tests, and the largest number of tests it repeats."""

VERDICT = re.compile(r"\[gw\d+\] \[ *\d+%\] ([A-Z]+) (tests/\S.*?) *")
BEGUN = re.compile(r"(tests/\S+\.py::.+?) *")
"""Patterns of pytest's log: a test that ended, with its verdict, and a test that started."""


def choose_steps(folder: Path, here: Revision) -> list[Step]:
    """Returns the steps of call 2. If there was no call 1 in the folder, these are the regular ones.

    Args:
        folder: The campaign's folder.
        here: The revision of the working tree. Results of other revisions are not resumed.
    """
    ended = read_outcomes(folder)
    if not ended:
        return list(select_steps(2))
    logs = (step.log for step in (*select_steps(None), AGAIN) if step.arguments[0] == "pytest")
    verdicts = dict(read_verdicts(folder, logs))
    found = [*repeat_failed_tests(verdicts), *(step for step in select_steps(2) if step.arguments == SMOKE)]
    for step in select_steps(1):
        if step.arguments != SMOKE and not is_finished(step, ended, folder):
            found.append(deselect(step, (name for name, verdict in verdicts.items() if verdict not in WRONG)))
    found += repeat_failed_cases(folder)
    found += [step for step in select_steps(2) if step not in found]
    return [redirect(step, folder, here) for step in found]


def read_outcomes(folder: Path) -> dict[str, Outcome]:
    """Returns the last outcome of every step, by its name."""
    return {line["name"]: Outcome(**line) for line in read_lines(folder / OUTCOMES)}


def read_lines(path: Path) -> Iterator[dict[str, Any]]:
    """Yields the objects of a JSON lines file up to a partial last line; none if the file doesn't exist.

    Args:
        path: The file.
    """
    for text in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            yield json.loads(text)
        except ValueError:
            return


def read_verdicts(folder: Path, logs: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yields every test that the logs name with its last verdict, "" for a test that never ended.

    Args:
        folder: The folder of the logs.
        logs: The names of the log files; missing ones are skipped.
    """
    found: dict[str, str] = {}
    for path in (folder / log for log in logs):
        for text in path.read_text(errors="replace").splitlines() if path.exists() else ():
            if verdict := VERDICT.fullmatch(text):
                found[verdict[2]] = verdict[1]
            elif begun := BEGUN.fullmatch(text):
                found.setdefault(begun[1], "")
    yield from found.items()


WRONG = ("FAILED", "ERROR", "")


def repeat_failed_tests(verdicts: dict[str, str]) -> list[Step]:
    """Returns a step that runs the failed tests, then those that never ended; none if there are no such tests."""
    names = [name for wrong in WRONG for name, verdict in verdicts.items() if verdict == wrong]
    return [replace(AGAIN, arguments=test_arguments(*names[:MOST]))] if names else []


def deselect(step: Step, names: Iterable[str]) -> Step:
    """Returns a step of tests without the named ones. A step that runs no tests is returned unchanged."""
    if step.arguments[0] != "pytest":
        return step
    return replace(step, arguments=(*step.arguments, *(word for name in names for word in ("--deselect", name))))


def is_finished(step: Step, ended: dict[str, Outcome], folder: Path) -> bool:
    """Returns whether a step ended by itself, even with failed tests, and skipped no case for lack of time."""
    found = ended.get(step.name)
    if found is None or found.code not in ((0, 1) if step.arguments[0] == "pytest" else (0,)):
        return False
    name = result_folder(step)
    return name is None or "skipped" not in read_statuses(folder / name).values()


def repeat_failed_cases(folder: Path) -> list[Step]:
    """Returns a step that measures the failed cells and backends of the headline suite again, into a new folder; none if nothing failed."""
    found = [case for case, status in read_statuses(folder / "headline").items() if status in FAILURES]
    if not found:
        return []
    cells, backends = (",".join(dict.fromkeys(names)) for names in zip(*((cell, backend) for cell, backend, _ in found), strict=True))
    name = next(name for n in range(1, 1000) if not (folder / (name := f"again-{n}")).exists())
    more = ("--dtype", "float16", "--lean", "--cells", cells, "--backends", f"vendor,{backends}")
    return [Step("failed cases", 2, 60, suite_arguments("headline", name, *more))]


def read_statuses(folder: Path) -> dict[tuple[str, str, str], str]:
    """Returns the last status of every case of a run, by its cell, its backend and its JSON."""
    cases = (line for line in read_lines(folder / "records.jsonl") if line.get("kind") == "case")
    return {(line["case"]["cell"], line["case"]["backend"], json.dumps(line["case"])): line["status"] for line in cases}


def result_folder(step: Step) -> str | None:
    """Returns the folder, inside the campaign's, of a step that measures a suite; None for other steps."""
    return next((word.removeprefix("{folder}/") for word in step.arguments if word.startswith("{folder}/")), None)


def redirect(step: Step, folder: Path, here: Revision) -> Step:
    """Returns a step that writes to a new folder if its own holds results of another revision."""
    name = result_folder(step)
    if name is None:
        return step
    free = next(n for n in range(1, 1000) if measured_revision(folder / number_name(name, n)) in (None, here))
    return replace(
        step, arguments=tuple(f"{{folder}}/{number_name(name, free)}" if w == f"{{folder}}/{name}" else w for w in step.arguments)
    )


def number_name(name: str, n: int) -> str:
    return name if n == 1 else f"{name}-{n}"


def measured_revision(folder: Path) -> Revision | None:
    """Returns the revision of a run; None if there is no run."""
    run = next(read_lines(folder / "records.jsonl"), None)
    return None if run is None else (run["environment"]["commit"], run["environment"]["dirty"])


def add_tables(folder: Path) -> int:
    """Adds the entries of a folder's tables to the tables of their devices, and returns how many were new.

    Args:
        folder: A campaign's folder, which may come from another machine.
    """
    count = 0
    for path in sorted(folder.glob("*.json")):
        count += add_layers(path) if path.name.endswith(measured_layers.SUFFIX) else add_passes(path)
    return count


def add_passes(path: Path) -> int:
    """Adds tuned passes that this machine's table lacks, and returns how many."""
    chip = Chip(path.stem, 0, 0)
    table = tuning.table_path(chip)
    own = {strip_measurement(entry) for entry in tuning.read_table(table)} if table.exists() else set()
    new = [entry for entry in tuning.read_table(path) if strip_measurement(entry) not in own]
    for entry in new:
        tuning.add_entry(chip, entry)
    return len(new)


def add_layers(path: Path) -> int:
    """Adds timed layers that this machine's table lacks, and returns how many."""
    device = path.name.removesuffix(measured_layers.SUFFIX)
    own = {layer.key for layers in measured_layers.load_table(device).values() for layer in layers}
    new = [layer for layer in tuning.read_entries(path, measured_layers.MeasuredLayer) if layer.key not in own]
    if new:
        measured_layers.add_layers(device, new)
    return len(new)


def strip_measurement(entry: tuning.TuningEntry) -> tuning.TuningEntry:
    """Returns an entry without its times, to compare what was tuned."""
    return replace(entry, tiles=None, seconds=0.0, tried=0, torch="", triton="")

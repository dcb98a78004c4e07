"""Tuning tables: for each device and pass, the fastest tile configuration and the seconds of a step, of `persistent` and of `stepwise`.

The table of a device is `kernels/tuned/<device>.json`, written by `python -m bench tune` and kept under version control. Its entries take
precedence over the cost model of `kernels.schedules.persistent.tiling`. Nothing is timed at import or in a call. The number of time steps
is not part of an entry, and a batch between two tuned ones takes the configuration of the larger one, if that fits.
"""

import hashlib
import json
import os
from collections.abc import Iterable
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch

from kernels.derive.adjoint import TRITON, print_source
from kernels.derive.plan import Plan
from kernels.schedules.persistent import machine_code
from kernels.schedules.persistent.tiling import DIRECTIONS, Chip, Direction, Pass, Tiles, estimate_seconds, rank_tilings

FOLDER = Path(__file__).parents[2] / "tuned"
Schedule = Literal["persistent", "stepwise"]


class TableError(ValueError):
    """The file of a tuning table is not in the format that `add_entry` writes."""


@dataclass(frozen=True, kw_only=True)
class TuningEntry:
    """The fastest configuration of a schedule for one pass.

    Attributes:
        step: the hash of the plan's functions, from `fingerprint`.
        tiles: the tile configuration; None for `stepwise`, which has none, and where no configuration gave right results.
        seconds: of one time step.
        tried: how many configurations were timed.
    """

    cell: str
    step: str
    direction: Direction
    B: int
    H: int
    dtype: str
    tf32: bool
    schedule: Schedule
    tiles: Tiles | None
    seconds: float
    tried: int
    torch: str
    triton: str


Parsed = TypeVar("Parsed")


def read_table(file: Path) -> list[TuningEntry]:
    """Reads a table of passes. Raises TableError, as `read_entries` does."""
    return read_entries(file, TuningEntry)


def read_entries(file: Path, kind: type[Parsed]) -> list[Parsed]:
    """Reads the entries of a table.

    Raises:
        TableError: names the file and what is wrong in it.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, list):
            raise TableError("is no list of entries")
        return [parse_object(kind, entry, f"entry {number}") for number, entry in enumerate(found, 1)]
    except ValueError as error:  # what is no JSON and no UTF-8 too
        raise TableError(f"{file}: {error}: mend it, or delete it and tune again") from None


def write_entries(file: Path, entries: Iterable[Any]) -> None:
    """Writes a table of dataclass objects, one a line, atomically."""
    file.parent.mkdir(exist_ok=True)
    fresh = file.with_suffix(".new")
    lines = (json.dumps(asdict(entry), separators=(",", ":"), ensure_ascii=False) for entry in entries)
    fresh.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    os.replace(fresh, file)


def parse_object(kind: type[Parsed], given: Any, where: str) -> Parsed:
    """Makes an object of a dataclass from JSON; every field must be present, of its type, and no other."""
    if not isinstance(given, dict):
        raise TableError(f"{where} is no object")
    types = get_type_hints(kind)
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in given]  # type: ignore[arg-type]
    for fault, names in (("lacks", missing), ("has the unknown", sorted(given.keys() - types))):
        if names:
            raise TableError(f"{where} {fault} {', '.join(names)}")
    return kind(**{name: parse_value(types[name], held, f"{name} of {where}") for name, held in given.items()})


def parse_value(kind: Any, given: Any, where: str) -> Any:
    """Converts JSON to the type of a field."""
    if NoneType in get_args(kind):
        return None if given is None else parse_value(next(k for k in get_args(kind) if k is not NoneType), given, where)
    if kind is Tiles:
        return parse_object(Tiles, given, where)
    if get_origin(kind) is Literal:
        if not (isinstance(given, str) and given in get_args(kind)):
            raise TableError(f"{where} is {given!r}, and not {' or '.join(get_args(kind))}")
        return given
    if type(given) is not kind and not (kind is float and type(given) is int):
        raise TableError(f"{where} is {given!r}, and no {kind.__name__}")
    return kind(given)


@cache
def fingerprint(plan: Plan) -> str:
    """Returns the hash of the plan's functions: a cell of the same name with other equations has another one."""
    functions = [plan.step, *(stage.argument for stage in plan.stages if stage.argument)]
    return hashlib.sha256("".join(print_source(f, TRITON) for f in functions).encode()).hexdigest()[:12]


def entry_key(work: Pass, schedule: Schedule) -> tuple[object, ...]:
    """Returns the key of a table entry without the batch size."""
    return fingerprint(work.plan), work.direction, work.H, str(work.dtype).removeprefix("torch."), work.tf32, schedule


def table_path(chip: Chip) -> Path:
    """Returns the file of a device's table."""
    return FOLDER / f"{chip.name}.json"


@cache
def load_table(chip: Chip) -> dict[tuple[object, ...], dict[int, TuningEntry]]:
    """Returns a device's entries by `entry_key` and batch size; empty for a device that was never tuned."""
    found: dict[tuple[object, ...], dict[int, TuningEntry]] = {}
    for entry in read_table(table_path(chip)) if table_path(chip).exists() else []:
        key = (entry.step, entry.direction, entry.H, entry.dtype, entry.tf32, entry.schedule)
        found.setdefault(key, {})[entry.B] = entry
    return found


def add_entry(chip: Chip, entry: TuningEntry) -> None:
    """Writes an entry into the device's table in place of the old one, atomically."""
    entries = {(*map(str, key), B): e for key, by_batch in load_table(chip).items() for B, e in by_batch.items()}
    key = (entry.step, entry.direction, entry.H, entry.dtype, entry.tf32, entry.schedule)
    entries[(*map(str, key), entry.B)] = entry
    ordered = sorted(entries.values(), key=lambda e: (e.cell, e.dtype, e.tf32, e.H, e.B, e.direction, e.schedule))
    write_entries(table_path(chip), ordered)
    for cached in (load_table, order_tilings, persistent_or_stepwise):
        cached.cache_clear()


def find_entry(work: Pass, chip: Chip, schedule: Schedule) -> TuningEntry | None:
    """Returns the entry for a pass: of its own batch size, or of the next larger one that was tuned.

    An entry of one 16-bit type also serves the other where that has none: tensor cores multiply both at one rate.
    """
    for dtype in (work.dtype, SAME_RATE.get(work.dtype)):
        entries = load_table(chip).get(entry_key(replace(work, dtype=dtype), schedule), {}) if dtype else {}
        larger = [B for B in entries if B >= work.B]
        if larger:
            return entries[min(larger)]
    return None


SAME_RATE = {torch.float16: torch.bfloat16, torch.bfloat16: torch.float16}


@cache
def order_tilings(work: Pass, chip: Chip) -> tuple[Tiles, ...]:
    """Returns the tile configurations of a pass, best first.

    The tuned one comes first, then the others as the cost model ranks them, last those whose machine code is known to have a fault. The
    result is empty if no configuration fits.
    """
    found, entry = rank_tilings(work, chip), find_entry(work, chip, "persistent")
    if chip.name.startswith(VERDICT_DEVICES):
        found = tuple(sorted(found, key=lambda tiles: has_fault(work, tiles)))
    known = entry.tiles if entry and entry.tiles in found else None
    return found if known is None else (known, *(tiles for tiles in found if tiles != known))


VERDICT_DEVICES = "nvidia-h"
"""Prefix of the names of the devices that the verdicts of `machine_code` hold for: H100 and H200 run the same machine code."""


def has_fault(work: Pass, tiles: Tiles) -> bool:
    """Returns whether a kernel's machine code is known to have a fault."""
    verdict = machine_code.load_verdicts().get(machine_code.kernel_key(fingerprint(work.plan), work, tiles))
    return verdict is not None and bool(verdict.faults)


LAUNCH_SECONDS = 2.5e-6
"""Seconds from the start of one small kernel to the start of the next in a CUDA graph: the model of `stepwise`."""


@cache
def persistent_or_stepwise(plan: Plan, B: int, H: int, dtype: torch.dtype, tf32: bool, chip: Chip) -> Schedule:
    """Returns the schedule with the faster training step: by the tuning table if it has both schedules, else by the cost model."""
    total: dict[Schedule, float] = {"persistent": 0.0, "stepwise": 0.0}
    passes = [Pass(plan, direction, B, H, dtype, tf32) for direction in DIRECTIONS]
    both = all(find_entry(work, chip, schedule) for work in passes for schedule in total)
    for work in passes:
        found = order_tilings(work, chip)
        if not found:
            return "stepwise"
        for schedule in total:
            entry = find_entry(work, chip, schedule) if both else None
            launches = 1 + len(work.groups) + sum(stage.argument is not None for stage in plan.stages)
            model = estimate_seconds(work, chip, found[0]) if schedule == "persistent" else launches * LAUNCH_SECONDS
            total[schedule] += entry.seconds if entry else model
    return "stepwise" if total["stepwise"] < total["persistent"] else "persistent"

"""What was measured on a device: for each pass the fastest cut, and the time of a step, of `resident` and of `stepwise`.

The table of a device is `kernels/tuned/<device>.json`, written by `python -m bench tune` and kept under version control. It overrides
the model of `kernels.schedules.persistent.tiling`. Nothing is timed at import or in a call; T is not part of a choice, and a batch
between two measured
ones takes what the larger one took, if that fits.
"""

import hashlib
import json
import os
from dataclasses import MISSING, asdict, dataclass, fields, replace
from functools import cache
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin, get_type_hints

import torch

from kernels.derive.adjoint import TRITON, source
from kernels.derive.plan import Plan
from kernels.schedules.persistent import machine_code
from kernels.schedules.persistent.tiling import DIRECTIONS, Chip, Direction, Pass, Tiles, ranked, seconds

FOLDER = Path(__file__).parents[2] / "tuned"
Schedule = Literal["resident", "stepwise"]


class TableError(ValueError):
    """A device's table is not what `add` writes."""


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """The fastest of a schedule for one pass. `step` is the fingerprint of the plan, `seconds` are of one time step; `tried` counts the
    cuts that were timed, `tiles` is None for `stepwise`, which has none, and where no cut ran right."""

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


Made = TypeVar("Made")


def read(file: Path) -> list[Tuned]:
    """The entries of a table. Raises TableError, which names the file and what is wrong in it."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
        if not isinstance(found, list):
            raise TableError("is no list of entries")
        return [made(Tuned, entry, f"entry {number}") for number, entry in enumerate(found, 1)]
    except ValueError as error:  # what is no JSON and no UTF-8 too
        raise TableError(f"{file}: {error}: mend it, or delete it and tune again") from None


def made(kind: type[Made], given: Any, where: str) -> Made:
    """An object of a dataclass from what JSON has for it: every field is there, of its type, and nothing else is."""
    if not isinstance(given, dict):
        raise TableError(f"{where} is no object")
    types = get_type_hints(kind)
    missing = [f.name for f in fields(kind) if f.default is MISSING and f.name not in given]  # type: ignore[arg-type]
    for fault, names in (("lacks", missing), ("has the unknown", sorted(given.keys() - types))):
        if names:
            raise TableError(f"{where} {fault} {', '.join(names)}")
    return kind(**{name: value(types[name], held, f"{name} of {where}") for name, held in given.items()})


def value(kind: Any, given: Any, where: str) -> Any:
    """A field's value, of the type that the field has."""
    if NoneType in get_args(kind):
        return None if given is None else value(next(k for k in get_args(kind) if k is not NoneType), given, where)
    if kind is Tiles:
        return made(Tiles, given, where)
    if get_origin(kind) is Literal:
        if not (isinstance(given, str) and given in get_args(kind)):
            raise TableError(f"{where} is {given!r}, and not {' or '.join(get_args(kind))}")
        return given
    if type(given) is not kind and not (kind is float and type(given) is int):
        raise TableError(f"{where} is {given!r}, and no {kind.__name__}")
    return kind(given)


@cache
def fingerprint(plan: Plan) -> str:
    """Of what a step computes: a cell of the same name with other equations is another one."""
    functions = [plan.step, *(stage.argument for stage in plan.stages if stage.argument)]
    return hashlib.sha256("".join(source(f, TRITON) for f in functions).encode()).hexdigest()[:12]


def described(work: Pass, schedule: Schedule) -> tuple[object, ...]:
    """What an entry of the table is about, but for B."""
    return fingerprint(work.plan), work.direction, work.H, str(work.dtype).removeprefix("torch."), work.tf32, schedule


def path(chip: Chip) -> Path:
    return FOLDER / f"{chip.name}.json"


@cache
def table(chip: Chip) -> dict[tuple[object, ...], dict[int, Tuned]]:
    """A device's entries, by what they are about and then by B; empty where it was never tuned."""
    found: dict[tuple[object, ...], dict[int, Tuned]] = {}
    for entry in read(path(chip)) if path(chip).exists() else []:
        key = (entry.step, entry.direction, entry.H, entry.dtype, entry.tf32, entry.schedule)
        found.setdefault(key, {})[entry.B] = entry
    return found


def add(chip: Chip, entry: Tuned) -> None:
    """Write an entry into the device's table, in place of the one it had, whole or not at all."""
    entries = {(*map(str, key), B): e for key, by_batch in table(chip).items() for B, e in by_batch.items()}
    key = (entry.step, entry.direction, entry.H, entry.dtype, entry.tf32, entry.schedule)
    entries[(*map(str, key), entry.B)] = entry
    ordered = sorted(entries.values(), key=lambda e: (e.cell, e.dtype, e.tf32, e.H, e.B, e.direction, e.schedule))
    FOLDER.mkdir(exist_ok=True)
    fresh = path(chip).with_suffix(".new")
    lines = (json.dumps(asdict(e), separators=(",", ":"), ensure_ascii=False) for e in ordered)
    fresh.write_text("[\n" + ",\n".join(lines) + "\n]\n", encoding="utf-8")
    os.replace(fresh, path(chip))
    for cached in (table, choices, preferred):
        cached.cache_clear()


def measured(work: Pass, chip: Chip, schedule: Schedule) -> Tuned | None:
    """The entry for a pass: of its own batch, or of the next larger one that was measured. What was measured in one of the 16-bit types
    holds for the other where that wasn't: tensor cores multiply both at one rate."""
    for dtype in (work.dtype, OTHER.get(work.dtype)):
        entries = table(chip).get(described(replace(work, dtype=dtype), schedule), {}) if dtype else {}
        larger = [B for B in entries if B >= work.B]
        if larger:
            return entries[min(larger)]
    return None


OTHER = {torch.float16: torch.bfloat16, torch.bfloat16: torch.float16}


@cache
def choices(work: Pass, chip: Chip) -> tuple[Tiles, ...]:
    """The cuts for a pass, best first: the one that was measured to be, then as the model ranks them, then those whose machine code is
    known to have a fault; none where none fits."""
    found, entry = ranked(work, chip), measured(work, chip, "resident")
    if chip.name.startswith(ORACLE):
        found = tuple(sorted(found, key=lambda tiles: faulty(work, tiles)))
    known = entry.tiles if entry and entry.tiles in found else None
    return found if known is None else (known, *(tiles for tiles in found if tiles != known))


ORACLE = "nvidia-h"
"""How the names of the devices begin that `kernels.schedules.persistent.machine_code` keeps verdicts for: H100 and H200, which run the
same machine code."""


def faulty(work: Pass, tiles: Tiles) -> bool:
    verdict = machine_code.known().get(machine_code.key(fingerprint(work.plan), work, tiles))
    return verdict is not None and bool(verdict.faults)


LAUNCH = 2.5e-6
"""Seconds from the start of one small kernel to that of the next in a CUDA graph, by which `stepwise` is modelled."""


@cache
def preferred(plan: Plan, B: int, H: int, dtype: torch.dtype, tf32: bool, chip: Chip) -> Schedule:
    """Which schedule runs a training step of a plan faster: as measured where both were, else as modelled."""
    total: dict[Schedule, float] = {"resident": 0.0, "stepwise": 0.0}
    passes = [Pass(plan, direction, B, H, dtype, tf32) for direction in DIRECTIONS]
    both = all(measured(work, chip, schedule) for work in passes for schedule in total)
    for work in passes:
        found = choices(work, chip)
        if not found:
            return "stepwise"
        for schedule in total:
            entry = measured(work, chip, schedule) if both else None
            launches = 1 + len(work.groups) + sum(stage.argument is not None for stage in plan.stages)
            model = seconds(work, chip, found[0]) if schedule == "resident" else launches * LAUNCH
            total[schedule] += entry.seconds if entry else model
    return "stepwise" if total["stepwise"] < total["resident"] else "resident"

"""What was measured on a device: for each pass the fastest cut, and the time of a step, of `resident` and of `stepwise`.

The table of a device is `kernels/tuned/<device>.json`, written by `python -m bench tune` and kept under version control. It overrides
the model of `kernels.tiles`. Nothing is timed at import or in a call; T is not part of a choice, and a batch between two measured
ones takes what the larger one took, if that fits.
"""

import hashlib
import os
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from pydantic import BaseModel, ConfigDict, TypeAdapter

from kernels.derive import TRITON, source
from kernels.plan import Plan
from kernels.tiles import DIRECTIONS, Chip, Direction, Pass, Tiles, candidates, modelled, seconds

FOLDER = Path(__file__).parent / "tuned"
Schedule = Literal["resident", "stepwise"]


class Tuned(BaseModel):
    """The fastest of a schedule for one pass. `step` is the fingerprint of the plan, `seconds` are of one time step; `tried` counts the
    cuts that were timed, `tiles` is None for `stepwise`, which has none, and where no cut ran right."""

    model_config = ConfigDict(extra="forbid", frozen=True)
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


_TABLE = TypeAdapter(list[Tuned])


@cache
def fingerprint(plan: Plan) -> str:
    """Of what a step computes: a cell of the same name with other equations is another one."""
    functions = [plan.step, *(stage.argument for stage in plan.stages if stage.argument)]
    return hashlib.sha256("".join(source(f, TRITON) for f in functions).encode()).hexdigest()[:12]


def described(work: Pass, schedule: Schedule) -> tuple[object, ...]:
    """What an entry of the table is about, but for B."""
    dtype = str(work.dtype).removeprefix("torch.")
    return fingerprint(work.plan), work.direction, work.H, dtype, work.tf32, schedule


def path(chip: Chip) -> Path:
    return FOLDER / f"{chip.name}.json"


@cache
def table(chip: Chip) -> dict[tuple[object, ...], dict[int, Tuned]]:
    """A device's entries, by what they are about and then by B; empty where it was never tuned."""
    found: dict[tuple[object, ...], dict[int, Tuned]] = {}
    for entry in _TABLE.validate_json(path(chip).read_bytes()) if path(chip).exists() else []:
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
    fresh.write_text("[\n" + ",\n".join(e.model_dump_json() for e in ordered) + "\n]\n")
    os.replace(fresh, path(chip))
    for cached in (table, choose, preferred):
        cached.cache_clear()


def measured(work: Pass, chip: Chip, schedule: Schedule) -> Tuned | None:
    """The entry for a pass: of its own batch, or of the next larger one that was measured."""
    entries = table(chip).get(described(work, schedule), {})
    larger = [B for B in entries if B >= work.B]
    return entries[min(larger)] if larger else None


@cache
def choose(work: Pass, chip: Chip) -> Tiles | None:
    """The cut for a pass: as measured, else as modelled; None where none fits."""
    entry = measured(work, chip, "resident")
    return entry.tiles if entry and entry.tiles and entry.tiles in set(candidates(work, chip)) else modelled(work, chip)


LAUNCH = 2.5e-6
"""Seconds from the start of one small kernel to that of the next in a CUDA graph, by which `stepwise` is modelled."""


@cache
def preferred(plan: Plan, B: int, H: int, dtype: torch.dtype, tf32: bool, chip: Chip) -> Schedule:
    """Which schedule runs a training step of a plan faster: as measured where both were, else as modelled."""
    total: dict[Schedule, float] = {"resident": 0.0, "stepwise": 0.0}
    passes = [Pass(plan, direction, B, H, dtype, tf32) for direction in DIRECTIONS]
    both = all(measured(work, chip, schedule) for work in passes for schedule in total)
    for work in passes:
        tiles = choose(work, chip)
        if tiles is None:
            return "stepwise"
        for schedule in total:
            entry = measured(work, chip, schedule) if both else None
            launches = 1 + len(work.groups) + sum(stage.argument is not None for stage in plan.stages)
            model = seconds(work, chip, tiles) if schedule == "resident" else launches * LAUNCH
            total[schedule] += entry.seconds if entry else model
    return "stepwise" if total["stepwise"] < total["resident"] else "resident"

"""How a sequence is cut into programs and products for the resident kernels, and a small model of what each cut would cost."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import Literal

import torch

from kernels.plan import Plan

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")

RESERVE = 20 * 1024
"""Bytes of shared memory for what passes through it: operands on their way to the tensor cores, and sums between layouts."""

ROW = 512
"""How much of a row of operands a program takes in one go, at most: registers don't hold more."""

FLIGHT = 32 * 1024
"""Bytes of operands that are read ahead at most: 32 to 64 registers of a thread."""

WRITTEN = 2**14
"""Multiplications of a thread in a step, at most, where no tensor core takes them: they are all written out, and take the compiler
12 s for a quarter of them and minutes for three times as many."""

CLOCK = 1.7e9
"""Cycles a second. The figures of the model are rough, from the literature: they rank cuts, and the table has the last word."""


@dataclass(frozen=True)
class Chip:
    """A device: multiprocessors, and bytes of shared memory for one block."""

    name: str
    multiprocessors: int
    shared: int


H100 = Chip("nvidia-h100", 132, 227 * 1024)


@cache
def chip(index: int) -> Chip:
    """The CUDA device of that index."""
    found = torch.cuda.get_device_properties(index)
    name = "-".join(re.findall(r"[a-z0-9]+", found.name.lower()))
    return Chip(name, found.multi_processor_count, found.shared_memory_per_block_optin)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Tiles:
    """BB sequences and BN units to a program, stretches of BK in its products, which have the units for rows with `units`, and their
    inner side in `split` slices; `warps` to a program; so many stretches of what is multiplied in `flight` at once."""

    BB: int
    BN: int
    BK: int
    warps: int
    units: bool = False
    split: int = 1
    flight: int = 1

    def programs(self, H: int) -> int:
        """Those that share a batch tile, and meet in every step where there are several."""
        return -(-H // self.BN)

    def grid(self, B: int, H: int) -> int:
        return self.programs(H) * -(-B // self.BB)


@dataclass(frozen=True)
class Pass:
    """What is to be cut: one direction of a plan over B sequences, H wide, in a dtype; `tf32` says how float32 is multiplied."""

    plan: Plan
    direction: Direction
    B: int
    H: int
    dtype: torch.dtype
    tf32: bool = False

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """How many matrices each group of products has."""
        return tuple(len(terms) for stage in self.plan.stages for _, terms in stage.groups)

    @property
    def plainly(self) -> bool:
        """Whether it multiplies without tensor cores: in float32, unless that is rounded to tf32."""
        return self.dtype == torch.float32 and not self.tf32

    @property
    def tall(self) -> int:
        """The matrices of the largest group, as a power of two: so many stand on top of each other where units are rows."""
        return 1 << (max(self.groups) - 1).bit_length()

    def held(self, tiles: Tiles) -> int:
        """Bytes of the matrices that a program keeps."""
        stacked = tiles.units and self.direction == "forward"
        matrices = len(self.groups) * self.tall if stacked else sum(self.groups)
        return matrices * tiles.BN * self.stretches(tiles) * tiles.BK * tiles.split * self.dtype.itemsize

    def stretches(self, tiles: Tiles) -> int:
        """How many there are of a product's inner side."""
        return -(-self.H // (tiles.BK * tiles.split))


def power(n: int) -> int:
    """The smallest power of two, from 16 on, that is no less than n."""
    return max(16, 1 << (n - 1).bit_length())


WAYS = ((4, 1), (8, 1), (4, 4), (8, 8))
"""Warps and slices. More warps than slices would multiply, and then compute, the same again."""


def candidates(work: Pass, chip: Chip) -> Iterator[Tiles]:
    """Every cut that fits the chip: the matrices in shared memory and, where programs meet, all of them there at once."""
    widths = [BN for BN in (8, 16, 32, 64, 128, 256) if power(work.H) >= BN]
    batches = [BB for BB in (16, 32, 64, 128) if power(work.B) >= BB]
    for BN, BB, (warps, split), units in product(widths, batches, WAYS, (True, False)):
        if (units and work.tall > 4) or (split > 1 and BB > 32):
            continue  # more matrices than a tall tile is taken apart into, sums that registers can't hold
        if units and BN * (work.tall if work.direction == "forward" else 1) < 16:
            continue  # fewer rows than a tensor core takes
        for BK in {max(16, min(BK, power(work.H) // split)) for BK in (32, 64, 128, 256) if BK * split <= ROW}:
            tiles = Tiles(BB, BN, BK, warps, units, split)
            room = chip.shared - RESERVE - work.held(tiles)
            if room < 0 or (tiles.programs(work.H) > 1 and tiles.grid(work.B, work.H) > chip.multiprocessors):
                continue
            if work.plainly and BB * BN * work.H * sum(work.groups) > 32 * warps * WRITTEN:
                continue
            yield tiles
            flight = min(work.stretches(tiles), min(FLIGHT, room) // (BB * BK * split * work.dtype.itemsize))
            if flight > 1:
                yield replace(tiles, flight=flight)


def seconds(work: Pass, chip: Chip, tiles: Tiles) -> float:
    """The model's time of a step, for as many waves of programs as there are.

    Programs meet in 0.7 µs and 2.5 ns for each of them. A program reads its operands from the L2 cache at 64 bytes a cycle, and every
    round of them, which is as many stretches as are in flight, waits 600 cycles for it. Each stretch costs a block barrier, 50 cycles.
    A product takes cycles by the instruction that its tile gets: on 64 rows (M) a warpgroup's, for every 16 of the inner side half its
    columns but no fewer than 16; below that a warp's, 8 for 16 × 8 × 16, by as many warps as the tile or its slices keep busy, and no
    less than shared memory takes to pass the matrices and twice the operands on, at 128 bytes a cycle; in float32 without tf32 none,
    256 operations a cycle. Slices are added up through shared memory. The pointwise step takes 40 cycles of its unit for 16 elements,
    again for every warp that repeats it because the product's tile has no part for it.
    """
    forward, groups, matrices, H = work.direction == "forward", len(work.groups), sum(work.groups), work.H
    stacked = tiles.units and forward
    count, operands = groups if stacked else matrices, groups if forward else matrices
    rows, columns = (tiles.BN * (work.tall if stacked else 1), tiles.BB) if tiles.units else (tiles.BB, tiles.BN)
    row, spread = tiles.BB * H * work.dtype.itemsize, max(1, rows // 16) * max(1, columns // 8)
    busy = min(tiles.warps, tiles.split * spread)
    if work.plainly:
        multiply = 2 * tiles.BB * tiles.BN * H * matrices / 256
    elif rows >= 64 and tiles.split == 1:
        multiply = count * rows / 64 * H / 16 * max(16, columns / 2)
    else:
        passes = 1 + (1 if tiles.split > 1 else min(tiles.warps, spread))
        multiply = max(8 * count * spread * H / 16 / busy, (work.held(tiles) + passes * operands * row) / 128)
    stretches = operands * work.stretches(tiles)
    read = operands * row / 64 + 600 * -(-stretches // tiles.flight) + 50 * stretches
    add = (count if forward else groups) * (100 + 4 * tiles.split * rows * columns / 128) if tiles.split > 1 else 0
    again = 1 if tiles.split > 1 or (stacked and work.tall > 1) else tiles.warps / busy
    pointwise = 40 * matrices * tiles.BB * tiles.BN / 16 / 4 * again
    programs = tiles.programs(H)
    meet = 0.7e-6 + 2.5e-9 * programs if programs > 1 else 0.0
    meetings = 1 + sum(stage.argument is not None for stage in work.plan.stages)
    waves = -(-tiles.grid(work.B, H) // chip.multiprocessors)
    return waves * (meetings * meet + (read + multiply + add + pointwise) / CLOCK)


@cache
def ranked(work: Pass, chip: Chip) -> tuple[Tiles, ...]:
    """The cuts that fit, the one that the model takes to be fastest first."""
    return tuple(sorted(candidates(work, chip), key=lambda tiles: seconds(work, chip, tiles)))

"""How a sequence is cut into programs and products for the resident kernels, and a small model of what each cut would cost."""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from itertools import product
from typing import Literal

import torch

from kernels.derive.plan import Plan

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

PRODUCTS = {True: 2.9e12, False: 1.8e12}
"""Multiplications a second of one multiprocessor by a warpgroup's instruction, 766 TFLOP/s on 132 of them, and by a warp's, six tenths."""

PLAIN = 128 * 1.98e9
"""The same without tensor cores: 128 a cycle."""

COST = {
    "step": 0.45e-6, "round": 56e-9, "stretch": 83e-9, "taken": 10e-12, "all": 77e-15, "stored": 2.6e-12, "read": 1e-12,
    "single": 63e-12, "chain": 0.44e-9, "fence": 0.1e-6, "spare": 0.34e-6, "apart": 84e-9, "pointwise": 43e-9,
}  # fmt: skip
"""Seconds of each part of a step, see `parts`: least squares over the cuts that an H200 timed, by `python -m
bench.harness.fit_cost_model`."""

REGISTERS = 255
"""Registers that a thread can have; what it needs beyond is spilled."""


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


@dataclass(frozen=True)
class Product:
    """The tiles of a pass's products: how many matrices have tiles of their own, how many operands are read, the rows and columns of a
    tile, the inner side with what fills it up, and how many warps multiply something that no other one does."""

    count: int
    operands: int
    rows: int
    columns: int
    inner: int
    busy: int
    warpgroup: bool

    @property
    def steps(self) -> int:
        """A warpgroup's instructions, 64 rows by 16 of the inner side each."""
        return self.count * max(1, self.rows // 64) * self.inner // 16


def product_of(work: Pass, tiles: Tiles) -> Product:
    forward, groups, matrices = work.direction == "forward", len(work.groups), sum(work.groups)
    stacked = tiles.units and forward
    rows, columns = (tiles.BN * (work.tall if stacked else 1), tiles.BB) if tiles.units else (tiles.BB, tiles.BN)
    inner = work.stretches(tiles) * tiles.BK * tiles.split
    warpgroup = rows >= 64 and tiles.split == 1 and not work.plainly
    busy = tiles.warps if warpgroup else min(tiles.warps, tiles.split * max(1, rows // 16))
    return Product(groups if stacked else matrices, groups if forward else matrices, rows, columns, inner, busy, warpgroup)


def parts(work: Pass, chip: Chip, tiles: Tiles) -> dict[str, float]:
    """How much of everything that takes time a step of a program has, by the names in COST.

    A step: what it takes anyhow. A round: as many stretches as are in flight, and a wait for the L2 cache. A stretch: a block barrier
    on its way through shared memory. Bytes of operands that are taken from L2 by a program, and by all, that are stored to shared
    memory, and read there again by the warps, with the matrices; but a thread reads a matrix of 8 columns whose rows are the inner side
    one number at a time. A chain: so many instructions of tensor cores wait for each other. A fence: in front of a warpgroup's products.
    Spare: 8 warps without slices, half of which repeat what the others do. Apart: a tall tile is taken apart through shared memory.
    Pointwise: elements of a thread, times the matrices, again for every warp that repeats them since the product has no part for it.
    """
    of, size = product_of(work, tiles), work.dtype.itemsize
    stretches, row, stored = of.operands * work.stretches(tiles), min(work.B, tiles.BB) * work.H * size, tiles.BB * of.inner * size
    stacked, again = tiles.units and work.direction == "forward" and work.tall > 1, tiles.warps / of.busy
    single = work.direction == "backward" and tiles.BN == 8 and tiles.split > 1
    if tiles.split > 1:
        read = work.held(tiles) * (not single) + of.operands * stored
    else:
        read = of.count * tiles.warps * (max(16, of.rows // of.busy) + of.columns) * of.inner * size
    repeated = 1.0 if tiles.split > 1 or stacked else again
    return {
        "step": 1, "round": len(work.groups) * -(-stretches // len(work.groups) // tiles.flight),
        "taken": of.operands * row, "all": of.operands * row * tiles.grid(work.B, work.H), "stored": of.operands * stored,
        "stretch": 0 if of.warpgroup else stretches, "fence": stretches if of.warpgroup else 0, "read": 0 if of.warpgroup else read,
        "single": work.held(tiles) if single else 0, "chain": 0 if of.warpgroup else of.operands * of.inner / 16 / tiles.split,
        "spare": tiles.warps == 8 and tiles.split == 1, "apart": stacked,
        "pointwise": sum(work.groups) * max(1, tiles.BB * tiles.BN * repeated / 32 / tiles.warps),
    }  # fmt: skip


def seconds(work: Pass, chip: Chip, tiles: Tiles) -> float:
    """The model's time of a step, for as many waves of programs as there are: its parts, and what was measured by itself, the products at
    the rate of the tensor cores and a meeting of programs, 0.52 µs and 0.06 µs each time that their number doubles."""
    of, programs = product_of(work, tiles), tiles.programs(work.H)
    rate = PLAIN if work.plainly else PRODUCTS[of.warpgroup]
    multiply = of.count * max(16, of.rows) * max(8, of.columns) * of.inner * tiles.warps / of.busy / rate
    meetings = 1 + sum(stage.argument is not None for stage in work.plan.stages)
    meet = meetings * (0.52e-6 + 0.06e-6 * math.log2(programs)) if programs > 1 else 0.0
    waves = -(-tiles.grid(work.B, work.H) // chip.multiprocessors)
    return waves * (meet + multiply + sum(COST[name] * amount for name, amount in parts(work, chip, tiles).items()))


def registers(work: Pass, tiles: Tiles) -> float:
    """What a thread is guessed to need, from some 300 kernels that triton 3.6 compiled: operands on their way, those in flight and three
    stretches more; the fragments of a stretch; sums; the pointwise step. With a warpgroup's instructions, places for each."""
    of, lanes, size = product_of(work, tiles), 32 * tiles.warps, work.dtype.itemsize
    sums = (of.count if work.direction == "forward" else 1) * of.rows * of.columns * tiles.split / lanes * (tiles.warps / of.busy)
    pointwise = sum(work.groups) * max(1, tiles.BB * tiles.BN / lanes) * (4 if work.direction == "backward" else 1)
    if of.warpgroup:
        return 92 + 2.5 * of.steps + sums
    ahead = min(of.operands * work.stretches(tiles), tiles.flight + 3) * tiles.BB * tiles.BK * tiles.split * size / 4 / lanes
    side = max(16, of.rows * tiles.split // of.busy) + of.columns
    fragments = side * min(tiles.BK, 128) * size / 128 / (2 if work.direction == "forward" else 1)
    return 40 + ahead + fragments + sums + pointwise


@cache
def ranked(work: Pass, chip: Chip) -> tuple[Tiles, ...]:
    """The cuts that fit, the one that the model takes to be fastest first, and after all others those that seem to spill."""
    return tuple(sorted(candidates(work, chip), key=lambda tiles: (registers(work, tiles) > REGISTERS, seconds(work, chip, tiles))))

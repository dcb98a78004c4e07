"""Tile configurations of the persistent kernels, and a cost model that ranks them."""

import itertools
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, cached_property
from typing import Literal

import torch

from kernels.derive.plan import Plan

Direction = Literal["forward", "backward"]
DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")

RESERVED_BYTES = 20 * 1024
"""Bytes of shared memory left for operands on their way to the tensor cores and for layout conversions of sums."""

MAX_INNER = 512
"""Maximum number of elements of the inner side that a program loads at once: registers don't hold more."""

PREFETCH_BYTES = 32 * 1024
"""Maximum number of bytes of operands that are prefetched: 32 to 64 registers of a thread."""

MAX_UNROLLED_FMA = 2**14
"""Maximum number of FMAs of a thread in a step without tensor cores: they are all unrolled. The compiler takes 12 s for a quarter of them,
and minutes for three times as many."""

TENSOR_CORE_RATE = {True: 2.9e12, False: 1.8e12}
"""FMAs per second of one multiprocessor by warpgroup instructions (True: 766 TFLOP/s on 132 of them) and by warp instructions (False)."""

FMA_RATE = 128 * 1.98e9
"""FMAs per second of one multiprocessor without tensor cores: 128 a cycle."""

COST = {
    "step": 0.45e-6, "load_round": 56e-9, "k_block": 83e-9, "l2_read": 10e-12, "l2_read_all": 77e-15, "smem_write": 2.6e-12,
    "smem_read": 1e-12, "smem_scalar_read": 63e-12,
        "mma_chain": 0.44e-9, "fence": 0.1e-6, "repeated_warps": 0.34e-6, "unstack": 84e-9,
    "pointwise": 43e-9,
}  # fmt: skip
"""Seconds of each part of a step, see `count_costs`: fitted by least squares to the configurations timed on an H200, with `python -m
bench.harness.fit_cost_model`."""

MAX_REGISTERS = 255
"""Maximum number of registers of a thread: more are spilled."""


@dataclass(frozen=True)
class Chip:
    """A GPU: its multiprocessors, and the bytes of shared memory that one block may use."""

    name: str
    multiprocessors: int
    shared: int


H100 = Chip("nvidia-h100", 132, 227 * 1024)


def normalize(device: str) -> str:
    """Returns the name of a device as used in file names: "nvidia-h200"."""
    return "-".join(re.findall(r"[a-z0-9]+", device.lower()))


@cache
def get_chip(index: int) -> Chip:
    """Returns the CUDA device of that index."""
    found = torch.cuda.get_device_properties(index)
    return Chip(normalize(found.name), found.multi_processor_count, found.shared_memory_per_block_optin)  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Tiles:
    """A tile configuration of a persistent kernel.

    Attributes:
        BB: sequences of a program.
        BN: units of a program.
        BK: elements of the inner side of a product that are multiplied at once.
        warps: warps of a program.
        units_as_rows: whether the units are the rows (M) of a product, instead of the sequences.
        split: slices of the inner side (split-K), each with warps of its own.
        prefetch: blocks of operands that are loaded before the first is used.
    """

    BB: int
    BN: int
    BK: int
    warps: int
    units_as_rows: bool = False
    split: int = 1
    prefetch: int = 1

    def programs(self, H: int) -> int:
        """Returns the programs of a batch tile: several share a barrier in every step."""
        return -(-H // self.BN)

    def grid(self, B: int, H: int) -> int:
        """Returns the programs of a launch."""
        return self.programs(H) * -(-B // self.BB)


@dataclass(frozen=True)
class Pass:
    """One direction of a plan over B sequences of hidden size H in a dtype; `tf32`: whether float32 is multiplied in tf32."""

    plan: Plan
    direction: Direction
    B: int
    H: int
    dtype: torch.dtype
    tf32: bool = False

    @cached_property
    def groups(self) -> tuple[int, ...]:
        """Returns the number of matrices of each product group."""
        return tuple(len(terms) for stage in self.plan.stages for _, terms in stage.groups)

    @property
    def no_tensor_cores(self) -> bool:
        """Returns whether products run without tensor cores: in float32, unless it is rounded to tf32."""
        return self.dtype == torch.float32 and not self.tf32

    @property
    def stacked(self) -> int:
        """Returns how many matrices a tile stacks if units are rows: those of the largest group, rounded up to a power of two."""
        return 1 << (max(self.groups) - 1).bit_length()

    def weight_bytes(self, tiles: Tiles) -> int:
        """Returns the bytes of the matrices that a program keeps on chip."""
        stacked = tiles.units_as_rows and self.direction == "forward"
        matrices = len(self.groups) * self.stacked if stacked else sum(self.groups)
        return matrices * tiles.BN * self.k_blocks(tiles) * tiles.BK * tiles.split * self.dtype.itemsize

    def k_blocks(self, tiles: Tiles) -> int:
        """Returns the number of blocks of the inner side of a product."""
        return -(-self.H // (tiles.BK * tiles.split))


def next_pow2(n: int) -> int:
    """Returns the smallest power of two from 16 on that is at least n."""
    return max(16, 1 << (n - 1).bit_length())


WARPS_AND_SLICES = ((4, 1), (8, 1), (4, 4), (8, 8))
"""(warps, split). More warps than slices repeat each other's products and pointwise work."""


def enumerate_tilings(work: Pass, chip: Chip) -> Iterator[Tiles]:
    """Yields every configuration that fits: the matrices in shared memory and, if there is a barrier, all programs on the chip at once."""
    widths = [BN for BN in (8, 16, 32, 64, 128, 256) if next_pow2(work.H) >= BN]
    batches = [BB for BB in (16, 32, 64, 128) if next_pow2(work.B) >= BB]
    for BN, BB, (warps, split), units in itertools.product(widths, batches, WARPS_AND_SLICES, (True, False)):
        if (units and work.stacked > 4) or (split > 1 and BB > 32):
            continue  # more matrices than `unstack` takes, or sums that registers can't hold
        if units and BN * (work.stacked if work.direction == "forward" else 1) < 16:
            continue  # fewer rows than a tensor core takes
        for BK in {max(16, min(BK, next_pow2(work.H) // split)) for BK in (32, 64, 128, 256) if BK * split <= MAX_INNER}:
            tiles = Tiles(BB, BN, BK, warps, units, split)
            room = chip.shared - RESERVED_BYTES - work.weight_bytes(tiles)
            if room < 0 or (tiles.programs(work.H) > 1 and tiles.grid(work.B, work.H) > chip.multiprocessors):
                continue
            if work.no_tensor_cores and BB * BN * work.H * sum(work.groups) > 32 * warps * MAX_UNROLLED_FMA:
                continue
            yield tiles
            prefetch = min(work.k_blocks(tiles), min(PREFETCH_BYTES, room) // (BB * BK * split * work.dtype.itemsize))
            if prefetch > 1:
                yield replace(tiles, prefetch=prefetch)


@dataclass(frozen=True)
class Product:
    """The products of one step of a program.

    Attributes:
        count: tiles that are multiplied.
        operands: operand tiles that are read.
        rows, columns, inner: M, N and K of a tile, K padded to whole blocks.
        busy_warps: warps whose work no other warp repeats.
        warpgroup: whether warpgroup instructions (wgmma) multiply.
    """

    count: int
    operands: int
    rows: int
    columns: int
    inner: int
    busy_warps: int
    warpgroup: bool

    @property
    def wgmma_count(self) -> int:
        """Warpgroup instructions of a step, each 64 rows by 16 of the inner side."""
        return self.count * max(1, self.rows // 64) * self.inner // 16


def product_shape(work: Pass, tiles: Tiles) -> Product:
    """Returns the products that a program computes in a step."""
    forward, groups, matrices = work.direction == "forward", len(work.groups), sum(work.groups)
    stacked = tiles.units_as_rows and forward
    rows, columns = (tiles.BN * (work.stacked if stacked else 1), tiles.BB) if tiles.units_as_rows else (tiles.BB, tiles.BN)
    inner = work.k_blocks(tiles) * tiles.BK * tiles.split
    warpgroup = rows >= 64 and tiles.split == 1 and not work.no_tensor_cores
    busy = tiles.warps if warpgroup else min(tiles.warps, tiles.split * max(1, rows // 16))
    return Product(groups if stacked else matrices, groups if forward else matrices, rows, columns, inner, busy, warpgroup)


def count_costs(work: Pass, chip: Chip, tiles: Tiles) -> dict[str, float]:
    """Counts what takes time in a step of a program.

    Returns:
        The amount of each part of a step, by the names in COST:

        step: 1, for what a step takes anyhow.
        load_round: times that a program waits for L2, once for all blocks that are prefetched together.
        k_block: block barriers of operands on their way through shared memory.
        l2_read, l2_read_all: bytes of operands read from L2 by a program and by all programs.
        smem_write, smem_read: bytes of operands stored to shared memory, and bytes that the warps read there, matrices included.
        smem_scalar_read: bytes of matrices of 8 columns, which a thread reads one number at a time.
        mma_chain: tensor core instructions that wait for each other.
        fence: fences before products of warpgroups.
        repeated_warps: 1 for 8 warps without slices, half of which repeat the others' work.
        unstack: 1 where a stacked tile is split through shared memory.
        pointwise: elements of a thread times matrices, with the elements that other warps repeat.
    """
    product, size = product_shape(work, tiles), work.dtype.itemsize
    k_blocks, row, stored = product.operands * work.k_blocks(tiles), min(work.B, tiles.BB) * work.H * size, tiles.BB * product.inner * size
    stacked, repeat_factor = tiles.units_as_rows and work.direction == "forward" and work.stacked > 1, tiles.warps / product.busy_warps
    scalar_reads = work.direction == "backward" and tiles.BN == 8 and tiles.split > 1
    if tiles.split > 1:
        read = work.weight_bytes(tiles) * (not scalar_reads) + product.operands * stored
    else:
        read = product.count * tiles.warps * (max(16, product.rows // product.busy_warps) + product.columns) * product.inner * size
    repeated = 1.0 if tiles.split > 1 or stacked else repeat_factor
    return {
        "step": 1, "load_round": len(work.groups) * -(-k_blocks // len(work.groups) // tiles.prefetch),
        "l2_read": product.operands * row, "l2_read_all": product.operands * row * tiles.grid(work.B, work.H),
        "smem_write": product.operands * stored, "k_block": 0 if product.warpgroup else k_blocks,
        "fence": k_blocks if product.warpgroup else 0, "smem_read": 0 if product.warpgroup else read,
        "smem_scalar_read": work.weight_bytes(tiles) if scalar_reads else 0,
        "mma_chain": 0 if product.warpgroup else product.operands * product.inner / 16 / tiles.split,
        "repeated_warps": tiles.warps == 8 and tiles.split == 1, "unstack": stacked,
        "pointwise": sum(work.groups) * max(1, tiles.BB * tiles.BN * repeated / 32 / tiles.warps),
    }  # fmt: skip


def estimate_seconds(work: Pass, chip: Chip, tiles: Tiles) -> float:
    """Estimates the seconds of a time step by the cost model.

    Adds up the parts of `count_costs`, the products at the rate of the tensor cores, and the barriers (0.52 µs, and 0.06 µs each time
    that the number of programs doubles), times the waves of programs.
    """
    product, programs = product_shape(work, tiles), tiles.programs(work.H)
    rate = FMA_RATE if work.no_tensor_cores else TENSOR_CORE_RATE[product.warpgroup]
    multiply = product.count * max(16, product.rows) * max(8, product.columns) * product.inner * tiles.warps / product.busy_warps / rate
    barriers = 1 + sum(stage.argument is not None for stage in work.plan.stages)
    barrier = barriers * (0.52e-6 + 0.06e-6 * math.log2(programs)) if programs > 1 else 0.0
    waves = -(-tiles.grid(work.B, work.H) // chip.multiprocessors)
    return waves * (barrier + multiply + sum(COST[name] * amount for name, amount in count_costs(work, chip, tiles).items()))


def estimate_registers(work: Pass, tiles: Tiles) -> float:
    """Estimates the registers of a thread, fitted to some 300 kernels that triton 3.6 compiled.

    Counts the operands that are prefetched and three blocks more, the fragments of a block, the sums and the pointwise step; with
    warpgroup instructions, registers for each of them.
    """
    product, lanes, size = product_shape(work, tiles), 32 * tiles.warps, work.dtype.itemsize
    tile_size = product.rows * product.columns
    sums = (product.count if work.direction == "forward" else 1) * tile_size * tiles.split / lanes * (tiles.warps / product.busy_warps)
    pointwise = sum(work.groups) * max(1, tiles.BB * tiles.BN / lanes) * (4 if work.direction == "backward" else 1)
    if product.warpgroup:
        return 92 + 2.5 * product.wgmma_count + sums
    blocks = min(product.operands * work.k_blocks(tiles), tiles.prefetch + 3)
    prefetched_registers = blocks * tiles.BB * tiles.BK * tiles.split * size / 4 / lanes
    operand_edge = max(16, product.rows * tiles.split // product.busy_warps) + product.columns
    fragments = operand_edge * min(tiles.BK, 128) * size / 128 / (2 if work.direction == "forward" else 1)
    return 40 + prefetched_registers + fragments + sums + pointwise


@cache
def rank_tilings(work: Pass, chip: Chip) -> tuple[Tiles, ...]:
    """Returns the configurations that fit, the fastest by the cost model first, those that probably spill last."""
    return tuple(
        sorted(
            enumerate_tilings(work, chip),
            key=lambda tiles: (estimate_registers(work, tiles) > MAX_REGISTERS, estimate_seconds(work, chip, tiles)),
        )
    )

"""Shares a pass among the threads of a CPU: each has whole sequences, or each has some units of all sequences (`team.h`).

Units are shared where there are fewer sequences than threads, by a cell whose step sums over no units. A thread's units are whole panels of
every matrix that they are columns of.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from kernels.schedules.cpu.panels import PANEL_COLUMNS
from kernels.schedules.interface import PassInputs
from kernels.schedules.packed_steps import PackedSteps

MAX_BLOCK_ROWS = 32
"""Maximum number of sequences that a thread runs at once."""
MIN_THREADED_FLOP = 8_000_000
"""Minimum operations of a pass that several threads run. To wake a second thread took 17–47 µs on two busy Zen 3 cores (LSTM, inference,
OMP_WAIT_POLICY=passive, best of 4 s): calls of 2 MFLOP took 1.3–1.6 times as long as on one thread, of 8 MFLOP 1.05–1.2 times."""
MIN_SHARED_STEP_FLOP = 100_000
"""Minimum operations of a step whose units threads share, as they meet once a stage. Inference of an LSTM with one sequence on two busy
Zen 3 cores (shortest of 6 s) took 1.05 times one thread's time at H=64, 70,000 operations a step, and 0.72 times at H=128, 270,000."""
PATIENCE_NS = 200_000
"""Nanoseconds that a thread waits for the others at least, before it counts as waiting for one that has no core."""
FLOP_PER_NS = 20
"""About the operations of a thread in a nanosecond, for how long a step and a pass take."""
PASS_SHARE = 20
"""The part of a pass that a thread waits for others without a core, in all, before the pass goes on with one thread: to wait once for one
that has lost its core costs less than to go on alone. An LSTM with one sequence of 128 steps, H=1024, took 90 ms with 200 µs for all,
as long as one thread, and 51 ms with 10 ms."""
POINTWISE_COLUMNS = 32
"""The columns of a matrix whose product takes about as long as the pointwise functions of a unit."""


@dataclass(frozen=True)
class Shares:
    """The shares of threads in a pass.

    Attributes:
        threads: their number.
        block_starts: the first sequence of each block, and B.
        rows_per_block: the sequences of the largest block.
        unit_starts: the first unit of each thread, and H; None if threads share the blocks.
        patience: the nanoseconds that a thread waits for the others at a meeting before it counts.
        allowance: the nanoseconds beyond those that it waits in the pass before the pass goes on with one thread.
    """

    threads: int
    block_starts: Tensor
    rows_per_block: int
    unit_starts: Tensor | None = None
    patience: int = PATIENCE_NS
    allowance: int = 0

    @property
    def blocks(self) -> int:
        """Returns the number of blocks."""
        return self.block_starts.shape[0] - 1


def share_work(inputs: PassInputs) -> Shares:
    """Returns how threads share a pass: little work is done by one."""
    _, B, H = inputs.shape
    step_flop = 2 * B * (POINTWISE_COLUMNS * H + sum(W.numel() for W in inputs.list_weights() if W is not None))
    flop = step_flop * math.prod(inputs.rows) // B
    threads = torch.get_num_threads() if flop >= MIN_THREADED_FLOP else 1
    if threads > B and step_flop >= MIN_SHARED_STEP_FLOP and not (inputs.plan.stencil_inputs or inputs.plan.reduces_states):
        starts = split_units(H, inputs.block_sizes, threads)
        if len(starts) - 1 > B:
            return Shares(len(starts) - 1, whole_block(B), B, starts, *find_patience(flop, step_flop, len(starts) - 1))
    threads = min(threads, B)
    return share_sequences(B, threads) if inputs.packed is None else share_by_length(inputs.packed, threads)


def find_patience(flop: int, step_flop: int, threads: int) -> tuple[int, int]:
    """Returns the patience, a step's time or more, and the allowance of `Shares`."""
    return max(PATIENCE_NS, step_flop // (FLOP_PER_NS * threads)), flop // (FLOP_PER_NS * threads * PASS_SHARE)


@lru_cache(maxsize=64)
def whole_block(B: int) -> Tensor:
    """Returns the first sequence of the only block, and B."""
    return torch.tensor([0, B], device="cpu")


@lru_cache(maxsize=64)
def share_sequences(B: int, threads: int) -> Shares:
    """Returns the shares of threads that have about equally many sequences. There are at most MAX_BLOCK_ROWS in a block, and blocks for
    every thread."""
    blocks = threads * -(-B // (MAX_BLOCK_ROWS * threads))
    starts = torch.arange(blocks + 1, device="cpu") * B // blocks
    return Shares(threads, starts, int(starts.diff().max()))


@lru_cache(maxsize=64)
def split_units(H: int, block_sizes: tuple[int, ...], threads: int) -> Tensor:
    """Returns the first unit of each thread, and H: of at most as many threads, each with whole panels of every diagonal block."""
    cuts = [u for u in range(H) if all(u % n % PANEL_COLUMNS == 0 for n in block_sizes or (PANEL_COLUMNS,))]
    chosen = {min(cuts, key=lambda u: abs(u - H * k // threads)) for k in range(threads)}
    return torch.tensor([*sorted(chosen), H], device="cpu")


@lru_cache(maxsize=64)
def sequence_starts(T: int, B: int) -> Tensor:
    """Returns the first row of each step of a batch, and the number of all rows: (T + 1)."""
    return torch.arange(T + 1, device="cpu") * B


def share_by_length(packed: PackedSteps, threads: int) -> Shares:
    """Returns the shares of threads that have sequences of decreasing length: the blocks have about equally many rows."""
    blocks = threads * -(-packed.B // (MAX_BLOCK_ROWS * threads))
    middles = packed.lengths.cumsum(0) - packed.lengths / 2
    ends = torch.arange(1, blocks, device="cpu") * packed.N / blocks
    starts = torch.cat([torch.tensor([0], device="cpu"), torch.searchsorted(middles, ends), torch.tensor([packed.B], device="cpu")])
    return Shares(threads, starts, int(starts.diff().max()))

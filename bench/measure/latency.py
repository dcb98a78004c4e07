"""Measures the latencies of a GPU: seconds per grid-wide barrier, per dependent load, and per kernel launch."""

from collections.abc import Callable
from functools import partial

import torch
import triton
import triton.language as tl
from torch import Tensor

from bench.measure.clock import time_fastest
from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE, arrive, wait
from kernels.schedules.stepwise.cuda_graph import capture

LINES = 2**15  # of 128 bytes: 4 MiB, which L2 holds and L1 doesn't
STEPS = (256, 4096)
GRAPHS = (32, 512)
SAMPLES = 5


@triton.jit
def cross_barriers(counter, steps, programs):
    for t in range(steps):
        arrive(counter)
        wait(counter, (t + 1) * programs)


@triton.jit
def follow_pointers(successors, end, steps):
    at = tl.load(successors, cache_modifier=".cg")  # .cg: cached in L2 alone
    for _ in range(steps - 1):
        at = tl.load(successors + at, cache_modifier=".cg")
    tl.store(end, at)


@triton.jit
def empty_kernel():
    pass


def measure_barriers(device: torch.device) -> dict[int, float]:
    """Returns the seconds per barrier, including its loop, by number of programs: powers of two up to the number of multiprocessors."""
    most = torch.cuda.get_device_properties(device).multi_processor_count
    numbers = sorted({n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < most} | {most})
    counter = torch.zeros(COUNTER_STRIDE.value, dtype=torch.int32, device=device)
    return {n: time_per_step(partial(run_barriers, counter, n), device, STEPS) for n in numbers}


def run_barriers(counter: Tensor, programs: int, steps: int) -> None:
    """Runs `steps` barriers among `programs` programs. `counter`, int32 (COUNTER_STRIDE), ends as the number of arrivals."""
    counter.zero_()
    cross_barriers[(programs,)](counter, steps, programs, num_warps=4, launch_cooperative_grid=True, enable_fp_fusion=True)


def measure_l2(device: torch.device) -> float:
    """Returns the seconds per load from L2 whose address comes from the load before it."""
    return time_per_step(partial(follow_ring, make_ring(LINES).to(device), torch.zeros(1, dtype=torch.int32, device=device)), device, STEPS)


def follow_ring(successors: Tensor, end: Tensor, steps: int) -> None:
    """Follows `successors` for `steps` loads and writes the last position to `end`, int32 (1)."""
    follow_pointers[(1,)](successors, end, steps, num_warps=1, enable_fp_fusion=True)


def make_ring(lines: int) -> Tensor:
    """Returns int32 (lines · COUNTER_STRIDE): the first element of each line has the position of another line's. They form one ring in
    random order."""
    order = torch.randperm(lines, generator=torch.Generator().manual_seed(0)) * COUNTER_STRIDE.value
    successors = torch.zeros(lines * COUNTER_STRIDE.value, dtype=torch.int32)
    successors[order] = order.roll(-1).to(torch.int32)
    return successors


def measure_launches(device: torch.device) -> tuple[float, float]:
    """Returns the seconds per empty kernel and per product of 32 × 32 matrices, one after another in a CUDA graph."""
    a, b, out = torch.randn(3, 32, 32, device=device)
    return measure_graph(lambda: empty_kernel[(1,)](enable_fp_fusion=True), device), measure_graph(lambda: torch.mm(a, b, out=out), device)


def measure_graph(call: Callable[[], object], device: torch.device) -> float:
    def calls(count: int) -> None:
        for _ in range(count):
            call()

    graphs = {count: capture(partial(calls, count)) for count in GRAPHS}
    return time_per_step(lambda count: graphs[count](), device, GRAPHS)


def time_per_step(run: Callable[[int], object], device: torch.device, lengths: tuple[int, int]) -> float:
    """Returns the seconds per step of `run(steps)`: the difference of a long and a short call, so that start and end cancel."""
    short, long = (time_fastest(partial(run, steps), device, SAMPLES) for steps in lengths)
    return (long - short) / (lengths[1] - lengths[0])

"""The waiting times of a GPU's programs for each other and for memory: seconds per barrier, per dependent load, per launch."""

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
def meet(counter, steps, programs):
    for t in range(steps):
        arrive(counter)
        wait(counter, (t + 1) * programs)


@triton.jit
def chase(successors, end, steps):
    at = tl.load(successors, cache_modifier=".cg")  # .cg: cached in L2 alone
    for _ in range(steps - 1):
        at = tl.load(successors + at, cache_modifier=".cg")
    tl.store(end, at)


@triton.jit
def empty_kernel():
    pass


def barrier_latency(device: torch.device) -> dict[int, float]:
    """Seconds per barrier among so many programs, the loop around it included: from one to as many as there are multiprocessors."""
    most = torch.cuda.get_device_properties(device).multi_processor_count
    numbers = sorted({n for n in (1, 2, 4, 8, 16, 32, 64, 128) if n < most} | {most})
    counter = torch.zeros(COUNTER_STRIDE.value, dtype=torch.int32, device=device)
    return {n: seconds_per_step(partial(run_barriers, counter, n), device, STEPS) for n in numbers}


def run_barriers(counter: Tensor, programs: int, steps: int) -> None:
    """Run `steps` barriers among `programs` programs. `counter` int32 (LINE) ends as the number of arrivals."""
    counter.zero_()
    meet[(programs,)](counter, steps, programs, num_warps=4, launch_cooperative_grid=True, enable_fp_fusion=True)


def l2_latency(device: torch.device) -> float:
    """Seconds per load whose address the load before it found, in L2."""
    return seconds_per_step(
        partial(run_chase, make_ring(LINES).to(device), torch.zeros(1, dtype=torch.int32, device=device)), device, STEPS
    )


def run_chase(successors: Tensor, end: Tensor, steps: int) -> None:
    """Follow `successors` from its start; `end` int32 (1) is where it led."""
    chase[(1,)](successors, end, steps, num_warps=1, enable_fp_fusion=True)


def make_ring(lines: int) -> Tensor:
    """int32 (lines · LINE): the first element of each line says where that of another one is. They make one ring, in random order."""
    order = torch.randperm(lines, generator=torch.Generator().manual_seed(0)) * COUNTER_STRIDE.value
    successors = torch.zeros(lines * COUNTER_STRIDE.value, dtype=torch.int32)
    successors[order] = order.roll(-1).to(torch.int32)
    return successors


def launch_latency(device: torch.device) -> tuple[float, float]:
    """Seconds per kernel that does nothing, and per product of 32 × 32 matrices, one after another in a CUDA graph."""
    a, b, out = torch.randn(3, 32, 32, device=device)
    return graph_latency(lambda: empty_kernel[(1,)](enable_fp_fusion=True), device), graph_latency(lambda: torch.mm(a, b, out=out), device)


def graph_latency(call: Callable[[], object], device: torch.device) -> float:
    def calls(count: int) -> None:
        for _ in range(count):
            call()

    graphs = {count: capture(partial(calls, count)) for count in GRAPHS}
    return seconds_per_step(lambda count: graphs[count](), device, GRAPHS)


def seconds_per_step(run: Callable[[int], object], device: torch.device, lengths: tuple[int, int]) -> float:
    """Seconds per step of `run(steps)`: what a long call takes over a short one, and so without its start and its end."""
    short, long = (time_fastest(partial(run, steps), device, SAMPLES) for steps in lengths)
    return (long - short) / (lengths[1] - lengths[0])

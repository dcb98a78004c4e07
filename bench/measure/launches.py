"""The kernels that a call launches on a GPU, and the same call as one CUDA graph."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

WARM = 3
"""Calls on the capturing stream before the capture, where kernels are compiled and libraries get their workspace: torch's own
number (`make_graphed_callables`)."""


class NoGraph(Exception):
    """A call can't be captured as a CUDA graph; the message is the reason."""


def count_launches(call: Callable[[], object], device: torch.device) -> int | None:
    """Kernels that one call runs on a GPU, those of replayed graphs among them; copies and fills that are no kernels (memcpy,
    memset) are not counted. None on a CPU, and where the profiler is not let in. It makes the call twice.

    Once the profiler has run in a process, launches may stay slower there: count after the timing.
    """
    if device.type != "cuda":
        return None
    call()
    torch.cuda.synchronize(device)
    with profile(activities=[ProfilerActivity.CUDA], acc_events=True) as trace:
        call()
        torch.cuda.synchronize(device)
    return sum(map(is_kernel, trace.profiler.kineto_results.events())) or None


def is_kernel(event: Any) -> bool:
    """Return whether an event of the profiler is a kernel that ran on a GPU."""
    return (
        event.device_type().name == "CUDA"
        and not event.is_user_annotation()
        and not event.name().startswith(("Memcpy", "Memset"))
    )  # fmt: skip


def capture_graph(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """The whole call as one CUDA graph: what replays it, and returns the tensors that the capture returned, with new contents.

    Raises NoGraph with the reason where it can't be captured. The graph reads the very tensors that the call reads, and whatever
    the call allocates lies in memory of its own, as long as what is returned lives. Training calls are captured with their
    backward pass, cooperative launches too. A graph can't be launched while another is captured: `stepwise`, which replays
    chunks otherwise, launches its steps one by one then.
    """
    if device.type != "cuda":
        raise NoGraph("only a GPU has CUDA graphs")
    with torch.cuda.device(device):
        return capture_on_side_stream(call)


def capture_on_side_stream(call: Callable[[], Any]) -> Callable[[], Any]:
    graph, side, pool = torch.cuda.CUDAGraph(), torch.cuda.Stream(), torch.cuda.graph_pool_handle()
    side.wait_stream(torch.cuda.current_stream())
    try:
        # torch.cuda.graph leaves its stream in place where the capture can't be ended; this context takes it away.
        with torch.cuda.stream(side):
            for _ in range(WARM):
                call()
            with torch.cuda.graph(graph, pool=pool, stream=side, capture_error_mode="thread_local"):
                result = call()
    except Exception as error:
        recover_allocator(graph, pool)
        raise NoGraph(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}") from error
    torch.cuda.current_stream().wait_stream(side)

    def replay() -> Any:
        graph.replay()
        return result

    return replay


def recover_allocator(graph: torch.cuda.CUDAGraph, pool: tuple[int, int]) -> None:
    """After a capture that failed: tell the allocator that it is over, or memory would never be given back in this process.

    torch does so only where a capture ends well (CUDAGraph::capture_end), in some versions also when the graph is reset: then
    there is nothing left to end, and it raises.
    """
    graph.reset()
    with contextlib.suppress(RuntimeError):
        here = torch.cuda.current_device()
        torch._C._cuda_endAllocateToPool(here, pool)
        torch._C._cuda_releasePool(here, pool)

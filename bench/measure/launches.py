"""Counts the kernels that a call launches on a GPU, and captures a call as one CUDA graph."""

import contextlib
from collections.abc import Callable
from typing import Any

import torch
from torch.autograd.profiler import profile  # that of torch.profiler imports torch's compiler, which takes seconds

WARM = 3
"""Calls on the capturing stream before the capture, which compile kernels and allocate workspaces. The number is torch's own
(`make_graphed_callables`)."""


class NoGraph(Exception):
    """A call can't be captured as a CUDA graph; the message is the reason."""


def count_launches(call: Callable[[], object], device: torch.device) -> int | None:
    """Counts the kernels that one call runs on a GPU, including those of replayed graphs and excluding memcpy and memset. It makes the call
    twice.

    Count after timing: once the profiler has run in a process, launches may stay slower.

    Returns:
        The number of kernels; None on a CPU or if the profiler is not permitted.
    """
    if device.type != "cuda":
        return None
    call()
    torch.cuda.synchronize(device)
    with profile(use_cpu=False, use_device="cuda", use_kineto=True) as trace:
        call()
        torch.cuda.synchronize(device)
    return sum(map(is_kernel, trace.kineto_results.events())) or None


def is_kernel(event: Any) -> bool:
    """Returns whether a profiler event is a kernel on a GPU."""
    ran = event.device_type().name == "CUDA" and not event.is_user_annotation()
    return ran and not event.name().startswith(("Memcpy", "Memset"))


def capture_graph(call: Callable[[], Any], device: torch.device) -> Callable[[], Any]:
    """Captures a whole call as one CUDA graph.

    The graph reads the same input tensors as the call. Its own allocations live as long as the returned function. A training call is
    captured with its backward pass, also with cooperative launches. A graph can't be launched during a capture, so `stepwise` launches its
    steps one by one instead of replaying chunks.

    Returns:
        A function that replays the graph and returns the captured output tensors with new contents.

    Raises:
        NoGraph: The call can't be captured.
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
    """Tells the allocator that a failed capture is over; otherwise its memory would never be freed in this process.

    torch does this only if a capture ends successfully (CUDAGraph::capture_end), in some versions also on reset. Then nothing is left to
    end and the call raises RuntimeError, which is suppressed.
    """
    graph.reset()
    with contextlib.suppress(RuntimeError):
        here = torch.cuda.current_device()
        torch._C._cuda_endAllocateToPool(here, pool)
        torch._C._cuda_releasePool(here, pool)

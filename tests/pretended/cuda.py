"""torch.cuda of a GPU that isn't there: its memory is the CPU's, its streams are one, and its graphs replay nothing.

What is asked for on "cuda" is made on the CPU, and says so: code that asks a tensor takes the way of a CPU, whose kernels Triton's
interpreter runs, and code that asks the device of a run takes that of a GPU.
"""

import contextlib
import itertools
from types import SimpleNamespace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

NAME = "NVIDIA H100 80GB HBM3"
FREE, CACHE = 2**24, 2**20
"""Bytes of memory and of the L2 cache: what is sized by them is soon filled."""

PROPERTIES = SimpleNamespace(
    name=NAME, major=9, minor=0, multi_processor_count=132, total_memory=FREE, L2_cache_size=CACHE, uuid="pretended",
    shared_memory_per_block_optin=227 * 1024, shared_memory_per_multiprocessor=228 * 1024,
)  # fmt: skip

STANDS_FOR: dict[Any, Any] = {}
"""What is taken in place of other arguments of torch's functions, besides the CPU for "cuda"."""


class Moved(TorchFunctionMode):
    """Within, nothing is on a GPU that is asked to be there."""

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function is torch.device:
            return function(*args, **(kwargs or {}))
        return function(*map(moved, args), **{name: moved(value) for name, value in (kwargs or {}).items()})


def moved(value: Any) -> Any:
    if isinstance(value, torch.device):
        return torch.device("cpu") if value.type == "cuda" else value
    if isinstance(value, str):
        return "cpu" if value.partition(":")[0] == "cuda" else value
    return STANDS_FOR.get(value, value) if isinstance(value, torch.dtype) else value


class Event:
    """A clock of its own: from one event to the next it is a millisecond, and a little more each time."""

    count = itertools.count(1)

    def __init__(self, *_: Any, **__: Any) -> None:
        self.number = 0

    def record(self, *_: Any) -> None:
        self.number = next(Event.count)

    def elapsed_time(self, end: "Event") -> float:
        return (1.0 + 1e-5 * self.number) * (end.number - self.number)

    def nothing(self, *_: Any) -> None: ...

    synchronize = wait = nothing


class Stream:
    cuda_stream = 0

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def nothing(self, *_: Any) -> None: ...

    synchronize = wait_stream = wait_event = nothing


class Graph:
    """Computes at once what is captured."""

    def nothing(self, *_: Any, **__: Any) -> None: ...

    replay = reset = capture_begin = capture_end = nothing


def pretend() -> None:
    """From here on torch finds this GPU."""

    def always(value: Any) -> Any:
        return lambda *_, **__: value

    found = {
        "is_available": always(True), "device_count": always(1), "current_device": always(0), "get_device_name": always(NAME),
        "get_device_properties": always(PROPERTIES), "get_device_capability": always((9, 0)), "mem_get_info": always((FREE, FREE)),
        "memory_allocated": always(0), "max_memory_allocated": always(0), "memory_reserved": always(0), "graph_pool_handle": always((0, 0)),
        "is_current_stream_capturing": always(False), "current_stream": always(Stream()), "Stream": Stream, "Event": Event,
        "CUDAGraph": Graph,
    }  # fmt: skip
    found |= {name: always(None) for name in ("synchronize", "_sleep", "empty_cache", "set_device", "reset_peak_memory_stats")}
    found |= {name: always(contextlib.nullcontext()) for name in ("stream", "graph", "device", "device_of")}
    for name, value in found.items():
        setattr(torch.cuda, name, value)
    Moved().__enter__()

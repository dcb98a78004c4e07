"""Measures the memory of a training step in bytes: weights, tensors saved for the backward pass, and the peak above the baseline.

A layer may allocate a workspace and touch a part of it only: on a CPU torch's LSTM does. Memory that was never touched takes no room, so
of what is saved the bytes count that lie in memory, where the operating system can say (Linux, on a CPU).
"""

import ctypes
import mmap
import sys
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.profiler import profile  # that of torch.profiler imports torch's compiler, which takes seconds

from bench.measure.workload import Workload
from bench.records import Memory


def measure_memory(work: Workload) -> Memory:
    """Measures the memory of one training step: what is saved after a forward pass, and the peak in a second step."""
    learned = list(work.learned) or list(work.problem.weights.values())
    saved = SavedStorages({identify_storage(t) for t in (*learned, *work.inputs, *work.states, work.dy)})
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        result = work.forward(work.inputs, work.states)
    allocated = sum(storage.nbytes() for storage in saved.kept.values())
    resident = [count_resident_bytes(storage.data_ptr(), storage.nbytes()) for storage in saved.kept.values()]
    there = None if work.problem.device.type != "cpu" or None in resident else sum(filter(None, resident))
    del result, saved
    return Memory(
        weights=sum(t.numel() * t.element_size() for t in learned), saved=allocated if there is None else there, saved_allocated=allocated,
        peak=measure_peak(work.train, work.problem.device),
    )  # fmt: skip


def identify_storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class SavedStorages:
    """Keeps the unique storages that autograd saves for the backward pass, except those in `held`."""

    def __init__(self, held: Iterable[int]):
        self.held, self.kept = set(held), dict[int, Any]()

    def pack(self, tensor: Tensor) -> Tensor:
        if identify_storage(tensor) not in self.held:
            self.kept[identify_storage(tensor)] = tensor.untyped_storage()
        return tensor


def count_resident_bytes(address: int, size: int) -> int | None:
    """Returns how many bytes of a block lie in memory, by whole pages; None if the operating system doesn't say."""
    if not sys.platform.startswith("linux") or not size:
        return None if size else 0
    begin, page = address - address % mmap.PAGESIZE, mmap.PAGESIZE
    pages = -(-(address + size - begin) // page)
    flags = (ctypes.c_ubyte * pages)()
    if ctypes.CDLL(None).mincore(ctypes.c_void_p(begin), ctypes.c_size_t(pages * page), flags):
        return None
    outside = (flags[0] & 1) * (address - begin) + (flags[-1] & 1) * (begin + pages * page - address - size)
    return page * sum(flag & 1 for flag in bytes(flags)) - outside


def measure_peak(call: Callable[[], object], device: torch.device) -> int:
    """Returns the highest allocation during a call minus the allocation before it, in bytes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(profile_memory=True) as trace:
        call()
    level = highest = 0
    for event in trace.kineto_results.events():
        if event.name() == "[memory]":
            level += event.nbytes()
            highest = max(highest, level)
    return highest

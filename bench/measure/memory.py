"""Measures the memory of a training step in bytes: weights, tensors saved for the backward pass, and the peak above the baseline."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bench.measure.backends import Workload
from bench.records import Memory


def measure_memory(work: Workload) -> Memory:
    """Measures the memory of one training step. Hooks count the saved tensors; they allocate nothing, so the peak is unaffected."""
    learned = list(work.learned) or list(work.problem.weights.values())
    saved = SavedBytes({identify_storage(t) for t in (*learned, *work.inputs, *work.states, work.dy)})
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        highest = measure_peak(work.train, work.problem.device)
    return Memory(weights=sum(t.numel() * t.element_size() for t in learned), saved=sum(saved.kept.values()), peak=highest)


def identify_storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class SavedBytes:
    """Counts the bytes of the unique storages that autograd saves for the backward pass, except those in `held`."""

    def __init__(self, held: Iterable[int]):
        self.held, self.kept = set(held), dict[int, int]()

    def pack(self, tensor: Tensor) -> Tensor:
        if identify_storage(tensor) not in self.held:
            self.kept[identify_storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor


def measure_peak(call: Callable[[], object], device: torch.device) -> int:
    """Returns the highest allocation during a call minus the allocation before it, in bytes."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True, acc_events=True) as trace:  # else torch 2.11 warns
        call()
    level = highest = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            level += event.nbytes()
            highest = max(highest, level)
    return highest

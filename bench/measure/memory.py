"""The memory of a training step: weights, tensors saved for the backward pass, and the peak over the baseline, in bytes."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bench.measure.backends import Workload
from bench.records import Memory


def measure_memory(work: Workload) -> Memory:
    """One training step counts both: what it saves goes through hooks, which allocate nothing, while its peak is watched."""
    learned = list(work.learned) or list(work.problem.weights.values())
    saved = SavedBytes({storage_id(t) for t in (*learned, *work.inputs, *work.states, work.dy)})
    with torch.autograd.graph.saved_tensors_hooks(saved.pack, lambda tensor: tensor):
        highest = peak_memory(work.train, work.problem.device)
    return Memory(
        weights=sum(t.numel() * t.element_size() for t in learned),
        saved=sum(saved.kept.values()),
        peak=highest,
    )


def storage_id(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


class SavedBytes:
    """Bytes of the unique storages that autograd keeps between forward and backward, without those already `held`."""

    def __init__(self, held: Iterable[int]):
        self.held, self.kept = set(held), dict[int, int]()

    def pack(self, tensor: Tensor) -> Tensor:
        if storage_id(tensor) not in self.held:
            self.kept[storage_id(tensor)] = tensor.untyped_storage().nbytes()
        return tensor


def peak_memory(call: Callable[[], object], device: torch.device) -> int:
    """The highest allocation during the call over what was allocated before it."""
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

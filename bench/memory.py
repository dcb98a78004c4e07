"""What a training step holds: weights, what is saved for the backward pass, and the peak over the baseline, in bytes."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from bench.backends import Workload
from bench.record import Memory


def measure(work: Workload) -> Memory:
    learned = list(work.learned) or list(work.problem.weights.values())
    held = {storage(t) for t in (*learned, *work.inputs, *work.states, work.dy)}
    return Memory(
        weights=sum(t.numel() * t.element_size() for t in learned),
        saved=saved(work, held),
        peak=peak(work.train, work.problem.device),
    )


def storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def saved(work: Workload, held: Iterable[int]) -> int:
    """Bytes of the unique storages autograd keeps between forward and backward, without weights and inputs."""
    kept: dict[int, int] = {}
    known = set(held)

    def pack(tensor: Tensor) -> Tensor:
        if storage(tensor) not in known:
            kept[storage(tensor)] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = work.forward(work.inputs, work.states)
    del result
    return sum(kept.values())


def peak(call: Callable[[], object], device: torch.device) -> int:
    """The highest allocation during the call over what was allocated before it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        before = torch.cuda.memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
        call()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_allocated(device) - before
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        call()
    level = highest = 0
    for event in trace.profiler.kineto_results.events():
        if event.name() == "[memory]":
            level += event.nbytes()
            highest = max(highest, level)
    return highest

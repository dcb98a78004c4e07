"""CUDA graphs: a chunk of steps, captured once for each plan, batch and dtype, replayed along a sequence of any length.

A graph reads and writes the tensors it was captured with, so each chunk of the sequence is copied in and out of it. What a
chunk leaves for the next one (the carried states, or their gradients) stays there.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch

from kernels.loop import Loop, Trajectory
from kernels.schedules.steps import Backward, Forward, Steps

CHUNK = 32
KEPT = 64  # graphs alive at once; each holds a chunk's worth of memory


def capture(work: Callable[[], None]) -> Callable[[], None]:
    """`work` as a CUDA graph. It runs once outside of it, where kernels are compiled and cuBLAS gets its workspace."""
    side = torch.cuda.Stream()
    side.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(side):
        work()
    torch.cuda.current_stream().wait_stream(side)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, capture_error_mode="thread_local"):
        work()
    return graph.replay


def whole(steps: Steps) -> int:
    """How many steps of the sequence, from its start, run as chunks: none without a GPU, and none within a graph that somebody
    captures: CUDA launches no graph then, and the steps belong in theirs."""
    alone = steps.carried[0].is_cuda and not torch.cuda.is_current_stream_capturing()
    return steps.T // CHUNK * CHUNK if alone else 0


_graphs: OrderedDict[tuple[Any, ...], tuple[Steps, Callable[[], None]]] = OrderedDict()


def graph(steps: Steps) -> tuple[Steps, Callable[[], None]]:
    """The chunk to copy into, and what replays it."""
    state = steps.loop.states[0]
    backward = isinstance(steps, Backward)
    upstream = isinstance(steps, Backward) and steps.dy is not None
    sizes = (steps.B, steps.H, state.dtype, state.device, torch.get_float32_matmul_precision())
    key = (steps.plan, backward, upstream, steps.loop.keep, steps.loop.whole, *sizes)
    if key not in _graphs:
        chunk = blank(steps)
        order = list(reversed(range(CHUNK)) if backward else range(CHUNK))

        def work() -> None:
            for t in order:
                chunk.run(t)

        _graphs[key] = chunk, capture(work)
        while len(_graphs) > KEPT:
            _graphs.popitem(last=False)
    _graphs.move_to_end(key)
    return _graphs[key]


def blank(steps: Steps) -> Steps:
    """The same steps over a sequence of CHUNK, on tensors of their own."""

    def like(tensor: Any, T: int = CHUNK) -> Any:
        return None if tensor is None else tensor.new_zeros(T, *tensor.shape[1:])

    old = steps.loop
    vectors, weights, states = ([t.clone() for t in group] for group in (old.vectors, old.weights, old.states))
    hoisted = [like(t) for t in old.hoisted]
    shared = [next((new for o, new in zip(old.hoisted, hoisted, strict=True) if o is t), None) for t in old.terms]
    terms = [like(t) if new is None else new for t, new in zip(old.terms, shared, strict=True)]
    history = [like(h, min(CHUNK, len(h) if len(h) != steps.T else CHUNK)) for h in steps.trajectory.history]
    trajectory = Trajectory(history, [like(a) for a in steps.trajectory.arguments])
    loop = Loop(steps.plan, CHUNK, [], hoisted, terms, vectors, weights, states, history if old.history else None)
    if isinstance(steps, Backward):
        return Backward(loop, trajectory, like(steps.dy), loop.states)
    return Forward(loop, trajectory)


def share(steps: Steps, chunk: Steps) -> None:
    """Copy in what is the same for every chunk."""
    for old, new in ((steps.loop.vectors, chunk.loop.vectors), (steps.loop.weights, chunk.loop.weights)):
        copy(old, new)


def copy(source: list[Any], target: list[Any]) -> None:
    for s, t in zip(source, target, strict=True):
        if s is not None:
            t.copy_(s)


def part(tensors: list[Any], t: int) -> list[Any]:
    return [None if x is None else x[t : t + CHUNK] for x in tensors]


def forward(steps: Forward) -> int:
    """Run the steps that fill whole chunks. Returns how many."""
    count = whole(steps)
    if not count:
        return 0
    chunk, replay = graph(steps)
    share(steps, chunk)
    copy(steps.loop.states, chunk.loop.states)
    copy(steps.carried, chunk.carried)
    for t in range(0, count, CHUNK):
        copy(part(steps.loop.hoisted, t), chunk.loop.hoisted)
        replay()
        if steps.loop.keep:
            for k in steps.loop.layout.written:
                steps.loop.terms[k][t : t + CHUNK].copy_(chunk.loop.terms[k])
        copy(chunk.trajectory.arguments, part(steps.trajectory.arguments, t))
        for new, old in zip(chunk.trajectory.history, steps.trajectory.history, strict=True):
            (old if len(old) == 1 else old[t : t + CHUNK]).copy_(new)
        for new, initial in zip(chunk.trajectory.history, chunk.loop.states, strict=True):
            initial.copy_(new[-1])
    copy(chunk.carried, steps.carried)
    return count


def backward(steps: Backward) -> None:
    """Run the steps that fill whole chunks, from the last of them to the first step of the sequence."""
    count = whole(steps)
    if not count:
        return
    chunk, replay = graph(steps)
    assert isinstance(chunk, Backward)
    share(steps, chunk)
    persistent = ("carried", "through", "d_vectors")
    for name in persistent:
        copy(getattr(steps, name), getattr(chunk, name))
    for t in reversed(range(0, count, CHUNK)):
        copy(part(steps.loop.terms, t), chunk.loop.terms)
        copy(part(steps.trajectory.history, t), chunk.trajectory.history)
        copy([steps.before(s, t) for s in range(len(steps.carried))], chunk.loop.states)
        copy(part([steps.dy], t), [chunk.dy])
        replay()
        copy(chunk.d_terms, part(steps.d_terms, t))
    for name in persistent:
        copy(getattr(chunk, name), getattr(steps, name))

"""CUDA graphs: a chunk of steps, captured once for each plan, batch, dtype and stream, replayed along a sequence of any length.

A graph reads and writes the tensors it was captured with, so each chunk of the sequence is copied in and out of it. What a
chunk leaves for the next one (the carried states, or their gradients) stays there. So a chunk serves one call at a time: a call takes
it, and puts it back once everything is enqueued. A second thread, or a call made within the first one, finds none and captures its own.
A chunk that was put back may still be running; whoever takes it next works on the same stream, and so after that.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch

from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.stepwise.steps import Backward, Forward, Steps

CHUNK = 32
KEPT = 64
"""Chunks that wait for their next call, at most; each holds its steps' worth of memory. Those in use come on top of it."""

Chunk = tuple[Steps, Callable[[], None]]
"""The steps to copy into, and what replays them."""

_idle: OrderedDict[tuple[Any, ...], list[Chunk]] = OrderedDict()
"""The chunks that no call uses, by what they can serve, those used last at the end."""

_capture_streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
"""For a caller's stream, the one that its chunks are captured on."""

_taking, _capturing = RLock(), RLock()


def capture(work: Callable[[], None]) -> Callable[[], None]:
    """`work` as a CUDA graph. It runs once outside of it, where kernels are compiled and cuBLAS gets its workspace.

    cuBLAS has a workspace for each thread and stream, and a graph uses that of the stream it was captured on. So every caller's stream has
    one of its own for captures: graphs that are replayed at once on two streams share no workspace. CUDA takes one capture at a time:
    another one begins by waiting for the whole device, which fails while a stream captures.
    """
    with _capturing:
        current = torch.cuda.current_stream()
        side = capture_stream(current)
        side.wait_stream(current)
        with torch.cuda.stream(side):
            work()
        current.wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=side, capture_error_mode="thread_local"):
            work()
    return graph.replay


def capture_stream(current: torch.cuda.Stream) -> torch.cuda.Stream:
    """The stream for captures beside a caller's. Torch deals its 32 streams out again and again, so one that is taken is passed over."""
    if current not in _capture_streams:
        taken = {current, *_capture_streams, *_capture_streams.values()}
        fresh = [torch.cuda.Stream() for _ in range(32)]
        _capture_streams[current] = next((stream for stream in fresh if stream not in taken), fresh[0])
    return _capture_streams[current]


def count_graph_steps(steps: Steps) -> int:
    """How many steps of the sequence, from its start, run as chunks: none without a GPU, and none within a graph that somebody
    captures: CUDA launches no graph then, and the steps belong in theirs."""
    alone = steps.carried[0].is_cuda and not torch.cuda.is_current_stream_capturing()
    return steps.T // CHUNK * CHUNK if alone else 0


def current_stream_handle(device: torch.device) -> int:
    """The stream that work on a device is enqueued on now: CUDA's handle of it, 0 for a CPU."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def chunk_key(steps: Steps) -> tuple[Any, ...]:
    """What a chunk must have been captured for to serve these steps."""
    state = steps.loop.states[0]
    backward = isinstance(steps, Backward)
    upstream = isinstance(steps, Backward) and steps.dy is not None
    sizes = (steps.B, steps.H, state.dtype, state.device, current_stream_handle(state.device), torch.get_float32_matmul_precision())
    return (steps.plan, backward, upstream, steps.loop.save_for_backward, steps.loop.keep_all_states, *sizes)


@contextmanager
def chunk_for(steps: Steps) -> Iterator[Chunk]:
    """A chunk that is this call's alone until it is through, and then waits for the next; a call that fails leaves none behind."""
    wanted = chunk_key(steps)
    with _taking:
        waiting = _idle.get(wanted)
        chunk = waiting.pop() if waiting else None
        if not waiting:
            _idle.pop(wanted, None)
    if chunk is None:
        chunk = capture_chunk(steps)
    yield chunk
    with _taking:
        _idle.setdefault(wanted, []).append(chunk)
        _idle.move_to_end(wanted)
        evict_idle()


def evict_idle() -> None:
    """Drop the chunks that are more than KEPT, those first whose like was used longest ago.

    One that still runs may go. CUDA frees an executable graph once it is through, and torch hands its tensors' memory to nobody but the
    stream that it runs on, and the memory of the graph's own pool back to CUDA, which waits for the device first.
    """
    while sum(map(len, _idle.values())) > KEPT:
        oldest = next(iter(_idle))
        _idle[oldest].pop(0)
        if not _idle[oldest]:
            del _idle[oldest]


def capture_chunk(steps: Steps) -> Chunk:
    """A new chunk for these steps. One made in inference mode serves calls outside of it too, which may write to no tensor of it."""
    with torch.inference_mode(False):
        chunk = allocate_chunk(steps)
    order = list(reversed(range(CHUNK)) if isinstance(steps, Backward) else range(CHUNK))

    def work() -> None:
        for t in order:
            chunk.run(t)

    return chunk, capture(work)


def allocate_chunk(steps: Steps) -> Steps:
    """The same steps over a sequence of CHUNK, on tensors of their own."""

    def like(tensor: Any, T: int = CHUNK) -> Any:
        return None if tensor is None else tensor.new_zeros(T, *tensor.shape[1:])

    old = steps.loop
    vectors, weights, states = ([t.clone() for t in group] for group in (old.vectors, old.weights, old.states))
    hoisted = [like(t) for t in old.hoisted]
    shared = [next((new for o, new in zip(old.hoisted, hoisted, strict=True) if o is t), None) for t in old.terms]
    terms = [like(t) if new is None else new for t, new in zip(old.terms, shared, strict=True)]
    history = [like(h, min(CHUNK, len(h) if len(h) != steps.T else CHUNK)) for h in steps.trajectory.history]
    trajectory = ForwardResult(history, [like(a) for a in steps.trajectory.arguments])
    loop = PassInputs(steps.plan, CHUNK, [], hoisted, terms, vectors, weights, states, history if old.history else None)
    if isinstance(steps, Backward):
        return Backward(loop, trajectory, like(steps.dy), loop.states)
    return Forward(loop, trajectory)


def copy_constants(steps: Steps, chunk: Steps) -> None:
    """Copy in what is the same for every chunk."""
    for old, new in ((steps.loop.vectors, chunk.loop.vectors), (steps.loop.weights, chunk.loop.weights)):
        copy(old, new)


def copy(source: list[Any], target: list[Any]) -> None:
    for s, t in zip(source, target, strict=True):
        if s is not None:
            t.copy_(s)


def slice_chunk(tensors: list[Any], t: int) -> list[Any]:
    return [None if x is None else x[t : t + CHUNK] for x in tensors]


def forward(steps: Forward) -> int:
    """Run the steps that fill whole chunks. Returns how many."""
    count = count_graph_steps(steps)
    if not count:
        return 0
    with chunk_for(steps) as (chunk, replay):
        copy_constants(steps, chunk)
        copy(steps.loop.states, chunk.loop.states)
        copy(steps.carried, chunk.carried)
        for t in range(0, count, CHUNK):
            copy(slice_chunk(steps.loop.hoisted, t), chunk.loop.hoisted)
            replay()
            if steps.loop.save_for_backward:
                for k in steps.loop.layout.accumulated:
                    steps.loop.terms[k][t : t + CHUNK].copy_(chunk.loop.terms[k])
            copy(chunk.trajectory.arguments, slice_chunk(steps.trajectory.arguments, t))
            for new, old in zip(chunk.trajectory.history, steps.trajectory.history, strict=True):
                (old if len(old) == 1 else old[t : t + CHUNK]).copy_(new)
            for new, initial in zip(chunk.trajectory.history, chunk.loop.states, strict=True):
                initial.copy_(new[-1])
        copy(chunk.carried, steps.carried)
    return count


def backward(steps: Backward) -> None:
    """Run the steps that fill whole chunks, from the last of them to the first step of the sequence."""
    count = count_graph_steps(steps)
    if not count:
        return
    persistent = ("carried", "through", "d_vectors")
    with chunk_for(steps) as (chunk, replay):
        assert isinstance(chunk, Backward)
        copy_constants(steps, chunk)
        for name in persistent:
            copy(getattr(steps, name), getattr(chunk, name))
        for t in reversed(range(0, count, CHUNK)):
            copy(slice_chunk(steps.loop.terms, t), chunk.loop.terms)
            copy(slice_chunk(steps.trajectory.history, t), chunk.trajectory.history)
            copy([steps.before(s, t) for s in range(len(steps.carried))], chunk.loop.states)
            copy(slice_chunk([steps.dy], t), [chunk.dy])
            replay()
            copy(chunk.d_terms, slice_chunk(steps.d_terms, t))
        for name in persistent:
            copy(getattr(chunk, name), getattr(steps, name))

"""CUDA graphs of the stepwise schedule: a chunk of steps is captured once for each plan, batch, dtype and stream, and replayed.

A graph reads and writes the tensors that it was captured with, so each chunk of the sequence is copied into and out of them. The
carried states, or their gradients, stay in these tensors between replays. So a chunk serves one call at a time: a call borrows it, and
returns it when all its work is enqueued. A second thread, or a nested call, finds none and captures its own. A returned chunk may still
be running; the next call uses the same stream, and so runs after it.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock
from typing import Any

import torch

from kernels.schedules.interface import ForwardResult, PassInputs
from kernels.schedules.stepwise.steps import BackwardSteps, ForwardSteps, Steps

CHUNK = 32
MAX_IDLE = 64
"""Maximum number of idle chunks that are cached; each holds the memory of its steps. Chunks in use are not counted."""

Chunk = tuple[Steps, Callable[[], None]]
"""The steps, into whose tensors a call copies, and a function that replays their graph."""

_idle: OrderedDict[tuple[Any, ...], list[Chunk]] = OrderedDict()
"""The idle chunks by `chunk_key`, the least recently used first."""

_capture_streams: dict[torch.cuda.Stream, torch.cuda.Stream] = {}
"""The stream on which chunks are captured, by the stream of the caller."""

_idle_lock, _capture_lock = RLock(), RLock()


def capture(work: Callable[[], None]) -> Callable[[], None]:
    """Captures `work` as a CUDA graph and returns a function that replays it.

    `work` runs once before the capture, so that kernels are compiled and cuBLAS allocates its workspace. cuBLAS has one workspace per
    thread and stream, and a graph uses that of the stream it was captured on. So every caller's stream has a capture stream of its own:
    graphs replayed on two streams at once share no workspace. A lock admits one capture at a time: a second one would begin with a
    synchronization of the device, which fails during a capture.
    """
    with _capture_lock:
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
    """Returns the capture stream of a caller's stream. torch reuses its 32 streams in turn, so those in use are skipped."""
    if current not in _capture_streams:
        taken = {current, *_capture_streams, *_capture_streams.values()}
        fresh = [torch.cuda.Stream() for _ in range(32)]
        _capture_streams[current] = next((stream for stream in fresh if stream not in taken), fresh[0])
    return _capture_streams[current]


def count_graph_steps(steps: Steps) -> int:
    """Returns how many steps, from the start of the sequence, run as CUDA graphs.

    Returns 0 without a GPU, and while the caller captures a graph: CUDA can't launch a graph then, and the steps become part of it.
    """
    alone = steps.carried[0].is_cuda and not torch.cuda.is_current_stream_capturing()
    return steps.T // CHUNK * CHUNK if alone else 0


def current_stream_handle(device: torch.device) -> int:
    """Returns the CUDA handle of the current stream of a device, 0 for a CPU."""
    return torch.cuda.current_stream(device).cuda_stream if device.type == "cuda" else 0


def chunk_key(steps: Steps) -> tuple[Any, ...]:
    """Returns the key of the chunks that can run these steps."""
    state = steps.inputs.states[0]
    backward = isinstance(steps, BackwardSteps)
    upstream = isinstance(steps, BackwardSteps) and steps.dy is not None
    sizes = (steps.B, steps.H, state.dtype, state.device, current_stream_handle(state.device), torch.get_float32_matmul_precision())
    return (steps.plan, backward, upstream, steps.inputs.save_for_backward, steps.inputs.keep_all_states, *sizes)


@contextmanager
def borrow_chunk(steps: Steps) -> Iterator[Chunk]:
    """Lends a chunk to a call and takes it back afterwards. After an exception the chunk is dropped."""
    wanted = chunk_key(steps)
    with _idle_lock:
        waiting = _idle.get(wanted)
        chunk = waiting.pop() if waiting else None
        if not waiting:
            _idle.pop(wanted, None)
    if chunk is None:
        chunk = capture_chunk(steps)
    yield chunk
    with _idle_lock:
        _idle.setdefault(wanted, []).append(chunk)
        _idle.move_to_end(wanted)
        evict_idle()


def evict_idle() -> None:
    """Drops the least recently used idle chunks until at most MAX_IDLE are left.

    A dropped chunk may still be running. CUDA frees an executable graph after it has finished. torch reuses the memory of its tensors
    only on the stream that it runs on, and returns the memory pool of the graph to CUDA, which synchronizes with the device first.
    """
    while sum(map(len, _idle.values())) > MAX_IDLE:
        oldest = next(iter(_idle))
        _idle[oldest].pop(0)
        if not _idle[oldest]:
            del _idle[oldest]


def capture_chunk(steps: Steps) -> Chunk:
    """Captures a new chunk for these steps, outside inference mode: its tensors must be writable in later calls."""
    with torch.inference_mode(False):
        chunk = allocate_chunk(steps)
    order = list(reversed(range(CHUNK)) if isinstance(steps, BackwardSteps) else range(CHUNK))

    def work() -> None:
        for t in order:
            chunk.run_step(t)

    return chunk, capture(work)


def allocate_chunk(steps: Steps) -> Steps:
    """Allocates the same steps for a sequence of CHUNK steps, with tensors of their own."""

    def like(tensor: Any, T: int = CHUNK) -> Any:
        return None if tensor is None else tensor.new_zeros(T, *tensor.shape[1:])

    old = steps.inputs
    vectors, weights, states = ([t.clone() for t in group] for group in (old.vectors, old.weights, old.states))
    hoisted = [like(t) for t in old.hoisted]
    shared = [next((new for o, new in zip(old.hoisted, hoisted, strict=True) if o is t), None) for t in old.terms]
    terms = [like(t) if new is None else new for t, new in zip(old.terms, shared, strict=True)]
    history = [like(h, min(CHUNK, len(h) if len(h) != steps.T else CHUNK)) for h in steps.result.history]
    result = ForwardResult(history, [like(a) for a in steps.result.arguments])
    inputs = PassInputs(steps.plan, CHUNK, [], hoisted, terms, vectors, weights, states, history if old.history else None)
    if isinstance(steps, BackwardSteps):
        return BackwardSteps(inputs, result, like(steps.dy), inputs.states)
    return ForwardSteps(inputs, result)


def copy_constants(steps: Steps, chunk: Steps) -> None:
    """Copies the vectors and weights, which are the same for every chunk of the sequence."""
    for old, new in ((steps.inputs.vectors, chunk.inputs.vectors), (steps.inputs.weights, chunk.inputs.weights)):
        copy(old, new)


def copy(source: list[Any], target: list[Any]) -> None:
    """Copies tensors into others, except those that are None."""
    for s, t in zip(source, target, strict=True):
        if s is not None:
            t.copy_(s)


def slice_chunk(tensors: list[Any], t: int) -> list[Any]:
    """Returns views of the chunk that begins at time step t."""
    return [None if x is None else x[t : t + CHUNK] for x in tensors]


def forward(steps: ForwardSteps) -> int:
    """Runs the steps that fill whole chunks and returns how many there are."""
    count = count_graph_steps(steps)
    if not count:
        return 0
    with borrow_chunk(steps) as (chunk, replay):
        copy_constants(steps, chunk)
        copy(steps.inputs.states, chunk.inputs.states)
        copy(steps.carried, chunk.carried)
        for t in range(0, count, CHUNK):
            copy(slice_chunk(steps.inputs.hoisted, t), chunk.inputs.hoisted)
            replay()
            if steps.inputs.save_for_backward:
                for k in steps.inputs.layout.recurrent_buffers:
                    steps.inputs.terms[k][t : t + CHUNK].copy_(chunk.inputs.terms[k])
            copy(chunk.result.arguments, slice_chunk(steps.result.arguments, t))
            for new, old in zip(chunk.result.history, steps.result.history, strict=True):
                (old if len(old) == 1 else old[t : t + CHUNK]).copy_(new)
            for new, initial in zip(chunk.result.history, chunk.inputs.states, strict=True):
                initial.copy_(new[-1])
        copy(chunk.carried, steps.carried)
    return count


def backward(steps: BackwardSteps) -> None:
    """Runs the steps that fill whole chunks, in reverse order."""
    count = count_graph_steps(steps)
    if not count:
        return
    persistent = ("carried", "d_operands", "d_vectors")
    with borrow_chunk(steps) as (chunk, replay):
        assert isinstance(chunk, BackwardSteps)
        copy_constants(steps, chunk)
        for name in persistent:
            copy(getattr(steps, name), getattr(chunk, name))
        for t in reversed(range(0, count, CHUNK)):
            copy(slice_chunk(steps.inputs.terms, t), chunk.inputs.terms)
            copy(slice_chunk(steps.result.history, t), chunk.result.history)
            copy([steps.state_before(s, t) for s in range(len(steps.carried))], chunk.inputs.states)
            copy(slice_chunk([steps.dy], t), [chunk.dy])
            replay()
            copy(chunk.d_terms, slice_chunk(steps.d_terms, t))
        for name in persistent:
            copy(getattr(chunk, name), getattr(steps, name))

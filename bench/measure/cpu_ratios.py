"""Times of a CPU's loop in its several forms, as ratios: `python -m bench.measure.cpu_ratios [SECONDS]` prints them anew.

Two calls are interleaved. The ratio of the medians is what a busy machine has; that of the shortest calls comes near a quiet one's.
"""

import statistics
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch

import cells
from bench.measure.backends import build_workload
from bench.measure.problem import make_problem
from kernels import RNN
from kernels.schedules.cpu import threads

Call = Callable[[], object]
SIZES = ((1, 1, 512), (16, 1, 512), (128, 1, 512), (16, 1, 1024), (32, 1, 128), (64, 32, 256), (1024, 1, 512))
"""T, B, H = D."""


def time_pair(first: Call, second: Call, seconds: float) -> tuple[float, float, float]:
    """Returns the seconds of the first call, median, and the second's time over the first's, of medians and of the shortest."""
    samples: tuple[list[float], list[float]] = ([], [])
    for call in (first, second, first, second):
        call()
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        for call, found in zip((first, second), samples, strict=True):
            begin = time.perf_counter()
            call()
            found.append(time.perf_counter() - begin)
    a, b = samples
    return statistics.median(a), statistics.median(b) / statistics.median(a), min(b) / min(a)


def make_call(layer: RNN, T: int, B: int, training: bool) -> Call:
    """Returns a call of a layer: inference, or a training step."""
    x = torch.randn(T, B, layer.input_size, dtype=next(layer.parameters()).dtype)
    if training:
        return lambda: layer(x)[0].sum().backward()
    layer.requires_grad_(False)
    return torch.no_grad()(lambda: layer(x))


def make_loop_call(name: str, T: int, B: int, H: int, training: bool) -> Call:
    """Returns a call of a cell's loop with the input projection precomputed."""
    work = build_workload("compiled", make_problem(name, T, B, H, H, "float32", "cpu", seed=0), input_product=False)
    return work.train if training else work.infer


@contextmanager
def shared_rows() -> Iterator[None]:
    """Threads share sequences, as if there were enough of them."""
    least, threads.MIN_SHARED_STEP_FLOP = threads.MIN_SHARED_STEP_FLOP, sys.maxsize
    try:
        yield
    finally:
        threads.MIN_SHARED_STEP_FLOP = least


def by_rows(call: Call) -> Call:
    """Returns a call whose threads share sequences."""

    def called() -> object:
        with shared_rows():
            return call()

    return called


def list_pairs(T: int, B: int, H: int, training: bool) -> Iterator[tuple[str, Call, Call]]:
    """Yields what is compared at a size: a name, the call that it is compared with, and the call."""

    def layer(cell: object = "lstm", backend: str = "auto") -> RNN:
        return RNN(cell, H, H, backend=backend)  # type: ignore[arg-type]

    plain = make_call(layer(), T, B, training)
    yield "units / sequences", by_rows(make_call(layer(), T, B, training)), plain
    yield "bfloat16 / float32", plain, make_call(layer().bfloat16(), T, B, training)
    yield "float16 / float32", plain, make_call(layer().half(), T, B, training)
    if not training:
        yield "int8 / float32", plain, make_call(layer().quantize(), T, B, training)
    yield "layer norm / none", plain, make_call(layer("lstm_layer_norm"), T, B, training)
    gru, blocks = (make_loop_call(name, T, B, H, training) for name in ("gru", "gru_block"))
    yield "8 heads / GRU, input projection precomputed", gru, blocks
    for name in ("minimal", "cfn"):
        yield f"newton / C++ loop, {name}", make_call(layer(name), T, B, training), make_call(layer(name, "newton"), T, B, training)
    slstm = cells.load("slstm")
    yield "4 heads / whole matrices", make_call(layer(replace(slstm, heads={})), T, B, training), make_call(layer(slstm), T, B, training)


def main(seconds: float) -> None:
    """Prints a line for each pair."""
    print(
        f"{torch.get_num_threads()} threads, {seconds:g} s a pair; a time of the second call over the first's: of medians, of the shortest"
    )
    for training in (False, True):
        for T, B, H in SIZES:
            for name, first, second in list_pairs(T, B, H, training):
                median, medians, shortest = time_pair(first, second, seconds)
                mode = "training" if training else "inference"
                print(f"{mode} T={T} B={B} H={H}  {name}: {medians:.2f}, {shortest:.2f} of {1e6 * median:.0f} µs", flush=True)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 4.0)

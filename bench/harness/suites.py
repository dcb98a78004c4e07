"""Lists the shapes of suites, most informative first: `python -m bench all --suite NAME` measures one.

- `headline`: the speed of the cells at sizes that are common in practice.
- `deepbench`: DeepBench's list (baidu-research/DeepBench, code/kernels/rnn_problems.h): training shapes, then inference shapes of
  servers and of devices. DeepBench excludes the input projection; here it has a row of its own, as torch.nn always computes it.
- `crossover`: sizes on both sides of each size at which cuDNN changes its algorithm (`bench.measure.cudnn_algorithm`).
- `scans`: cells without a product in their loop, at the sizes that scan packages publish.
- `latency`: one step or 16 of one sequence or four on a CPU, as a stream of audio needs them: medians and 99th percentiles.
- `cpu`: sizes from one step of one sequence to long training sequences on a CPU, beside the peers that are installed.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

from bench.records import Mode

BOTH: tuple[Mode, ...] = ("training", "inference")
HALVES = ("float16", "bfloat16")
CELLS = ("minimal", "cfn", "gru", "lstm", "vanilla")


@dataclass(frozen=True)
class Shape:
    """A cell at a size.

    Attributes:
        cell: The cell's name.
        T: Time steps.
        B: Sequences in a batch.
        D: Input width.
        H: Hidden width.
        dtype: The data type.
        modes: The passes that are timed.
    """

    cell: str
    T: int
    B: int
    D: int
    H: int
    dtype: str
    modes: tuple[Mode, ...] = BOTH

    @property
    def work(self) -> int:
        """Returns a number proportional to the multiplications of a vanilla cell."""
        return self.T * self.B * self.H * (self.D + self.H)


Sizes = tuple[str, Sequence[int], Sequence[int], Sequence[int]]

TRAINING: tuple[Sizes, ...] = (
    ("vanilla_relu", (1760, 2048, 2560), (16, 32, 64, 128), (50,)),
    ("lstm", (512, 1024, 2048, 4096), (16, 32, 64, 128), (25,)),
    ("lstm", (1536,), (8, 16, 32), (50,)),
    ("lstm", (256,), (16, 32, 64), (150,)),
    ("gru", (2816, 2048, 1536, 2560), (32,), (1500, 750, 375, 187)),
    ("gru", (512,), (32,), (1,)),
    ("gru", (1024,), (32, 64), (1500,)),
)
"""Cell, values of H, of B and of T, in all combinations; D = H."""

SERVER: tuple[Sizes, ...] = (
    ("lstm", (512, 1024, 2048), (1, 2, 4), (25,)),
    ("lstm", (1536,), (1, 2, 4), (50,)),
    ("lstm", (256,), (1, 2, 4), (150,)),
    ("gru", (2816, 2048, 1536, 2560), (1, 2, 4), (1500, 750, 375, 187)),
    ("gru", (512,), (1, 2, 4), (1,)),
    ("gru", (1024,), (1, 2, 4), (1500,)),
)
DEVICE: tuple[Sizes, ...] = (
    ("vanilla_relu", (32,), (1,), (672,)),
    ("vanilla_relu", (64,), (1,), (96,)),
    ("lstm", (256,), (1,), (150,)),
)


def expand_sizes(sizes: Sequence[Sizes], *modes: Mode) -> Iterator[Shape]:
    """Yields a shape for each combination of the sizes, in both 16-bit types."""
    for cell, widths, batches, lengths in sizes:
        for H in widths:
            for B in batches:
                for T in lengths:
                    for dtype in HALVES:
                        yield Shape(cell, T, B, H, H, dtype, modes)


def headline_shapes() -> Iterator[Shape]:
    """Yields the LSTM of published comparisons (FlashRNN, arXiv 2412.07752, figure 4) first, then all cells around this size."""
    for dtype in HALVES:
        for cell in ("lstm", "gru"):
            yield Shape(cell, 1024, 16, 768, 768, dtype)
    for T in (1024, 512, 2048):
        for B in (16, 64, 1, 32, 128):
            for dtype in reversed(HALVES):
                for H in (512, 1024, 256):
                    for cell in CELLS:
                        yield Shape(cell, T, B, H, H, dtype)


CLIFFS: tuple[tuple[str, str, tuple[tuple[int, int, int], ...]], ...] = (
    ("lstm", "bfloat16", ((64, 128, 128), (64, 144, 144), (64, 192, 192), (64, 208, 208))),
    ("gru", "bfloat16", ((64, 128, 128), (64, 144, 144), (64, 192, 192), (64, 208, 208))),
    ("vanilla", "bfloat16", ((64, 256, 256), (64, 272, 272), (64, 384, 384), (64, 400, 400))),
    ("lstm", "float16", ((64, 512, 512), (64, 528, 528), (64, 448, 512))),
    ("lstm", "bfloat16", ((64, 512, 512),)),
    ("lstm", "float16", ((64, 1024, 1024), (64, 1152, 1152))),
    ("lstm", "float16", ((60, 512, 512), (128, 512, 512), (136, 512, 512))),
    ("vanilla", "float16", ((88, 896, 896), (96, 896, 896), (96, 768, 768))),
    ("gru", "float16", ((64, 512, 512),)),
)
"""Cell, dtype and (B, D, H), by the condition of cuDNN's that they cross: small H in the backward and the forward pass; H and D by 128,
and one 16-bit type against the other; H above 1024; B by 8 and above 128; B and H of a vanilla cell; and a GRU, which has no persistent
size."""

STEPS = 256


def crossover_shapes() -> Iterator[Shape]:
    for cell, dtype, sizes in CLIFFS:
        for B, D, H in sizes:
            yield Shape(cell, STEPS, B, D, H, dtype)


SCANNED = ("mingru", "minlstm", "qrnn")
WIDTHS: tuple[tuple[int, int, tuple[int, ...]], ...] = (
    (8, 1536, (128, 512, 2048, 4096)),
    (16, 128, (128, 512, 2048, 8192, 16384)),
)
"""B, H and values of T: those of accelerated-scan (README of version 0.2; its T goes up to 65536, where the float64 reference takes too
long) and of fla's HGRN (the head of fla/ops/hgrn/chunk.py)."""


def scan_shapes() -> Iterator[Shape]:
    """Yields the middle length of both tables first, then every length, in both dtypes."""
    sizes = [(B, H, T) for B, H, lengths in WIDTHS for T in sorted(lengths, key=lambda T: (T != 2048, T))]
    for B, H, T in sorted(sizes, key=lambda size: size[2] != 2048):
        for dtype in ("float32", "bfloat16"):
            for cell in SCANNED:
                yield Shape(cell, T, B, H, H, dtype)


STREAMED = ("lstm", "gru", "minimal")


def latency_shapes() -> Iterator[Shape]:
    """Yields one step of one sequence first."""
    for T in (1, 16):
        for B in (1, 4):
            for H in (256, 64, 1024, 16):
                for cell in STREAMED:
                    yield Shape(cell, T, B, H, H, "float32", ("inference",))


LARGEST = 2.2e10
"""The flops of an LSTM's forward pass above which a size is left out of `cpu`: its float64 reference and training take tens of seconds."""


def cpu_shapes() -> Iterator[Shape]:
    """Yields every second size of a grid, as on a chessboard, all of one H before the next; bfloat16 at every second B of them."""
    sizes = product(enumerate((256, 1024, 64)), enumerate((1, 16, 128, 1024)), enumerate((1, 8, 32, 128)))
    for (h, H), (t, T), (b, B) in sizes:
        if (h + t + b) % 2 == 0 and 16 * T * B * H * H <= LARGEST:
            for dtype in ("float32", "bfloat16") if B in (1, 32) else ("float32",):
                yield from (Shape(cell, T, B, H, H, dtype) for cell in STREAMED)


SUITES: dict[str, tuple[Shape, ...]] = {
    "headline": tuple(headline_shapes()),
    "deepbench": (*expand_sizes(TRAINING, "training"), *expand_sizes(SERVER, "inference"), *expand_sizes(DEVICE, "inference")),
    "crossover": tuple(crossover_shapes()),
    "scans": tuple(scan_shapes()),
    "latency": tuple(latency_shapes()),
    "cpu": tuple(cpu_shapes()),
}
CPU_SUITES = ("latency", "cpu")
"""The suites that a CPU measures."""
GPU_SUITES = tuple(name for name in SUITES if name not in CPU_SUITES)
"""The suites that need a GPU: those that are tuned and compiled for one."""
TAIL_SUITES = ("latency",)
"""The suites that take enough calls for a 99th percentile."""

FEW = 3


def smallest_shapes(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """Returns the FEW shapes with the least work, in their given order."""
    few = sorted(shapes, key=lambda shape: shape.work)[:FEW]
    return tuple(shape for shape in shapes if shape in few)

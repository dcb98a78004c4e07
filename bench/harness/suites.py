"""Lists of shapes by name, most informative first, as data: `python -m bench all --suite NAME` measures one.

`deepbench` is DeepBench's list (baidu-research/DeepBench, code/kernels/rnn_problems.h): its training shapes, then those it infers
on a server and on a device. Its own rules leave the input product out, which is a row of its own here; torch.nn always computes it.
`headline` asks how fast the cells are at the sizes that people use, `crossover` what happens on both sides of each size at which
cuDNN changes its algorithm (see `bench.measure.cudnn_algorithm`). `scans` has cells that need no product in their loop at the sizes at
which the
packages that scan them show theirs.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from bench.records import Mode

BOTH: tuple[Mode, ...] = ("training", "inference")
HALVES = ("float16", "bfloat16")
SEED = ("minimal", "cfn", "gru", "lstm", "vanilla")


@dataclass(frozen=True)
class Shape:
    """A cell at a size: T time steps, B sequences, D input and H hidden width; `modes` are the passes that are measured of it."""

    cell: str
    T: int
    B: int
    D: int
    H: int
    dtype: str
    modes: tuple[Mode, ...] = BOTH

    @property
    def work(self) -> int:
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
"""Cell, H, B and T, every one with every other. D = H."""

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
    for cell, widths, batches, lengths in sizes:
        for H in widths:
            for B in batches:
                for T in lengths:
                    for dtype in HALVES:
                        yield Shape(cell, T, B, H, H, dtype, modes)


def headline_shapes() -> Iterator[Shape]:
    """First the LSTM of the published comparisons (FlashRNN, arXiv 2412.07752, figure 4), then every cell around it."""
    for dtype in HALVES:
        for cell in ("lstm", "gru"):
            yield Shape(cell, 1024, 16, 768, 768, dtype)
    for T in (1024, 512, 2048):
        for B in (16, 64, 1, 32, 128):
            for dtype in reversed(HALVES):
                for H in (512, 1024, 256):
                    for cell in SEED:
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
"""Cell, dtype and (B, D, H): the small H of backward and forward; H and D by 128, and 16 bit of one kind against the other;
H above 1024; B by 8 and above 128; the simple network's B and H; and a GRU, for which no size is persistent."""

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
"""B, H and T: accelerated-scan's table (README of version 0.2, up to T=65536, which a step in float64 for each T is too slow for) and that
of fla's HGRN (the head of fla/ops/hgrn/chunk.py)."""


def scan_shapes() -> Iterator[Shape]:
    """The middle of both tables first, then every length in both dtypes."""
    sizes = [(B, H, T) for B, H, lengths in WIDTHS for T in sorted(lengths, key=lambda T: (T != 2048, T))]
    for B, H, T in sorted(sizes, key=lambda size: size[2] != 2048):
        for dtype in ("float32", "bfloat16"):
            for cell in SCANNED:
                yield Shape(cell, T, B, H, H, dtype)


SUITES: dict[str, tuple[Shape, ...]] = {
    "headline": tuple(headline_shapes()),
    "deepbench": (*expand_sizes(TRAINING, "training"), *expand_sizes(SERVER, "inference"), *expand_sizes(DEVICE, "inference")),
    "crossover": tuple(crossover_shapes()),
    "scans": tuple(scan_shapes()),
}

FEW = 3


def smallest_shapes(shapes: Sequence[Shape]) -> tuple[Shape, ...]:
    """The few with the least work, in their order."""
    few = sorted(shapes, key=lambda shape: shape.work)[:FEW]
    return tuple(shape for shape in shapes if shape in few)

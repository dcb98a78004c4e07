"""The settings of a run, and the names that they take."""

from dataclasses import dataclass
from typing import get_args

from bench.records import Mode

DTYPES = ("float32", "float64", "bfloat16", "float16")
PRECISIONS = ("ieee", "tf32")
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Settings:
    """A run: which cells on which backends, at which sizes (T time steps, B sequences, D input and H hidden width), or of which suite,
    which has sizes and, without a `dtype`, types of its own. `thorough`: with more samples, cold caches, and energy where it is
    counted. `shard`: which part of it, "2/3" is the second of three, or "" for all. `lean`: whole layers alone, checked and timed with
    few samples, and nothing measured beside."""

    cells: tuple[str, ...]
    backends: tuple[str, ...]
    seq_lens: tuple[int, ...]
    batch: int
    hidden: int
    input: int
    dtype: str
    precision: str
    device: str
    seed: int
    quick: bool
    suite: str = ""
    modes: tuple[Mode, ...] = ("training", "inference")
    thorough: bool = False
    shard: str = ""
    lean: bool = False

"""Defines the settings of `bench all` and their valid values."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, get_args

from bench.harness.suites import TAIL_SUITES
from bench.records import Mode

if TYPE_CHECKING:
    from bench.measure.clock import Rule

DTYPES = ("float32", "float64", "bfloat16", "float16")
PRECISIONS = ("ieee", "tf32")
MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Settings:
    """The settings of a run.

    Attributes:
        cells: The names of the cells.
        backends: The names of the backends.
        seq_lens: Sequence lengths T; empty for a suite.
        batch: Sequences in a batch, B, in increasing order; empty for a suite.
        hidden: Hidden widths H in increasing order; empty for a suite.
        input: Input width D; 0 for that of H, or of the suite.
        dtype: The data type; "" for those of a suite.
        precision: The precision of float32 products, "ieee" or "tf32".
        device: "cpu" or "cuda".
        seed: The seed of inputs, weights and the order of samples.
        quick: Small sizes and few samples.
        suite: The suite that determines cells, sizes and modes; "" for none.
        modes: The passes that are timed.
        thorough: More samples, times with cold caches and, where available, energy.
        shard: The part of the run to measure: "2/3" is the second of three, "" is all of it.
        lean: Only the time of whole layers, with few samples.
        samples: The samples of each case; 0 for as many as the rule of the device asks for.
        against: A backend that the report also compares with; "" for none.
        slow_up_to: The longest T at which backends that step in Python, and loops with the input projection precomputed, are measured; 0
            for all.
    """

    cells: tuple[str, ...]
    backends: tuple[str, ...]
    seq_lens: tuple[int, ...]
    batch: tuple[int, ...]
    hidden: tuple[int, ...]
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
    samples: int = 0
    against: str = ""
    slow_up_to: int = 0

    @property
    def rule(self) -> "Rule":
        """Returns how often cases are built, and how many calls of a build are timed."""
        import torch  # takes seconds, which the command line doesn't need to be read

        from bench.measure.clock import choose_rule

        tail = self.suite in TAIL_SUITES
        return choose_rule(torch.device(self.device), self.quick, self.lean, self.thorough, self.samples, tail)

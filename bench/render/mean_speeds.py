"""Computes the mean speedup of each backend over torch.nn: of the same cell, and of cells that torch.nn lacks over its GRU."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import geometric_mean
from typing import Literal

from bench.analysis.mean_ci import mean_of_ratios
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_host_bound
from bench.analysis.verdict import Speed, relative_difference
from bench.records import CaseRecord
from bench.render.case_grid import Grid, Row
from bench.render.formatting import count_noun, format_factor, format_interval

Peer = Literal["same", "parameters", "width"]
PEERS: dict[Peer, str] = {
    "same": "torch.nn's own cell", "parameters": "torch.nn's gru of equal parameters", "width": "torch.nn's gru of equal H",
}  # fmt: skip
"""The peer that a case is compared with. "same": the same cell. A cell that torch.nn lacks: its GRU of as many
parameters, and that of the same H."""
BASELINES = ("vendor", "eager", "torchrecurrent", "associative", "accelerated", "fla_chunk", "fla_recurrent", "conv2d")
"""Backends that others are compared with; no headline is about them."""
EQUAL = 0.1
"""The largest relative difference of parameter counts that are called equal: a width is a whole number."""
Compared = tuple[CaseRecord, CaseRecord, Speed]
"""A case, its peer, and its speed over it."""


@dataclass(frozen=True)
class MeanSpeed:
    """The geometric mean of a backend's speedups in a mode.

    Attributes:
        peer: What it is compared with.
        compared: The cases.
        looks: The number of backends that are compared with such peers.
        margin: The relative difference that counts as noise.
    """

    mode: str
    dtype: str
    backend: str
    peer: Peer
    compared: tuple[Compared, ...]
    looks: int
    margin: float

    @cached_property
    def ratio(self) -> Estimate:
        """Returns the mean with its interval, which holds for all backends together (`mean_ci.mean_of_ratios`)."""
        return mean_of_ratios([speed.ratio for *_, speed in self.compared], self.looks)

    @property
    def value(self) -> float:
        return self.ratio.value

    @property
    def cases(self) -> int:
        return len(self.compared)

    @property
    def counts(self) -> Counter[str]:
        """Returns the number of cases by verdict."""
        return Counter(speed.verdict for *_, speed in self.compared)

    @property
    def host_bound(self) -> int:
        """Returns the number of cases in which torch.nn's time is host-bound."""
        return sum(is_host_bound(peer) for _, peer, _ in self.compared)

    @property
    def is_above(self) -> bool:
        """Returns whether the mean is outside the margin, with an interval above 1."""
        return self.ratio.low > 1 and self.value > 1 + self.margin

    @property
    def is_faster(self) -> bool:
        """Returns whether the mean is above 1 and most cases are faster."""
        return self.is_above and 2 * self.counts["faster"] > self.cases

    @property
    def size_ratio(self) -> float:
        """Returns the geometric mean of the peers' parameters divided by those of the cases; 0 if unknown."""
        known = [(record.parameters, peer.parameters) for record, peer, _ in self.compared]
        return geometric_mean(theirs / ours for ours, theirs in known) if all(ours and theirs for ours, theirs in known) else 0.0


def compute_mean_speeds(grid: Grid) -> list[MeanSpeed]:
    """Returns the mean speedup of every backend over each kind of peer."""
    found: dict[tuple[str, Peer], list[Compared]] = {}
    for backend in grid.backends:
        for peer, compared in (pair for row in grid.rows for pair in compare_row(grid, row, backend)):
            found.setdefault((backend, peer), []).append(compared)
    looks = Counter(peer for backend, peer in found if backend not in BASELINES)
    return [
        MeanSpeed(grid.common.mode, grid.common.dtype, backend, peer, tuple(compared), max(1, looks[peer]), grid.noise.margin)
        for (backend, peer), compared in found.items()
    ]


def compare_row(grid: Grid, row: Row, backend: str) -> Iterator[tuple[Peer, Compared]]:
    """Yields the kinds of peers of a backend's case in a row, each with the case, the peer and the speed."""
    record, peers = grid.timed_records(row).get(backend), grid.find_peers(row)
    for kind, peer in zip(PEERS, (peers.same, peers.parameters, peers.width), strict=True):
        if not (record and peer) or backend == "vendor" or (kind == "parameters" and differ_in_size(record, peer)):
            continue
        if speed := grid.compare_with(record, peer):
            yield kind, (record, peer, speed)


def differ_in_size(record: CaseRecord, peer: CaseRecord) -> bool:
    """Returns whether the parameter counts of two cases are known to differ by more than EQUAL."""
    known = record.parameters and peer.parameters
    return bool(known) and relative_difference(record.parameters / peer.parameters) > EQUAL


def choose_mean(means: Sequence[MeanSpeed]) -> MeanSpeed | None:
    """Returns the mean of the backend with the most cases, the fastest among equals; None without any but baselines."""
    known = [mean for mean in means if mean.backend not in BASELINES]
    return max(known, key=lambda mean: (mean.cases, mean.value), default=None)


def describe_mean(mean: MeanSpeed) -> str:
    """Returns a mean speedup as a line of a report."""
    host = f", in {mean.host_bound} of them torch.nn is host-bound" if mean.host_bound else ""
    known = f"{format_factor(mean.value)}{format_interval(mean.ratio)}"
    return f"- {mean.backend}: {known} the speed of {PEERS[mean.peer]} (geometric mean of {count_noun(mean.cases, 'case')}{host})"

"""The cases of a run laid out as a table: a row for each cell and size, a column for each backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.analysis.summary import CaseIndex, Peers, find_peers, is_comparable, is_timed, median_seconds
from bench.analysis.verdict import Noise, Speed, compare_cases, measure_noise
from bench.records import FAILURES, Case, CaseRecord
from bench.records.backend_table import COLUMNS
from bench.render.formatting import MODES, shorten_status

ORDER = COLUMNS
FASTEST, TIED, HOST = "★", "☆", "†"


class Row(NamedTuple):
    """What a row is about: T time steps, B sequences, D input and H hidden width."""

    cell: str
    T: int
    B: int
    D: int
    H: int


@dataclass(frozen=True)
class Grid:
    """Cases that differ in cell, size and backend alone; `common` is what they share, its B, D and H 0 where those differ. `cases` are
    all of the run, to look peers up in. `elsewhere` has the outcome, in a word, of a (cell, backend) that was checked at a size of its
    own, without a time. `noise` is that of the run."""

    common: Case
    cases: CaseIndex
    rows: tuple[Row, ...]
    backends: tuple[str, ...]
    elsewhere: dict[tuple[str, str], str]
    noise: Noise

    @property
    def cells(self) -> tuple[str, ...]:
        return tuple(sorted({row.cell for row in self.rows}))

    @property
    def lengths(self) -> tuple[int, ...]:
        return tuple(sorted({row.T for row in self.rows}))

    @property
    def has_several_sizes(self) -> bool:
        """Whether rows differ in more than cell and T, and so must say their size."""
        return not self.common.H

    @property
    def longest_rows(self) -> tuple[Row, ...]:
        """The rows of the longest T, but all where they are of several sizes."""
        T = self.lengths[-1]
        return tuple(row for row in self.rows if self.has_several_sizes or row.T == T)

    @property
    def at_longest(self) -> str:
        """ ", T=128", for a title; "" where a table has more than that T."""
        return "" if self.has_several_sizes else f", T={self.lengths[-1]}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell one row from another."""
        sizes = ("B", "D", "H") if any(row.D != row.H for row in self.rows) else ("B", "H")
        return ("cell", "T", *sizes) if self.has_several_sizes else ("cell", "T")

    @property
    def longest_keys(self) -> tuple[str, ...]:
        """The same, among those of `longest`."""
        return self.keys if self.has_several_sizes else ("cell",)

    @staticmethod
    def row_key(row: Row, keys: Sequence[str]) -> list[str]:
        return [str(getattr(row, key)) for key in keys]

    def case_at(self, row: Row, backend: str) -> Case:
        return self.common.model_copy(update={**row._asdict(), "backend": backend})

    def entry(self, row: Row, backend: str) -> CaseRecord | str:
        """The record of a timed case, else a word that says why there is no time."""
        record = self.cases.get(self.case_at(row, backend))
        if record is None:
            return self.elsewhere.get((row.cell, backend), "not run")
        return record if is_timed(record) else shorten_status(record)

    def timed_records(self, row: Row) -> dict[str, CaseRecord]:
        """The timed cases of a row, by backend."""
        found = {backend: self.entry(row, backend) for backend in self.backends}
        return {backend: record for backend, record in found.items() if isinstance(record, CaseRecord)}

    @property
    def untimed_backends(self) -> dict[str, str]:
        """Backends that have a word instead of a time in every row, and no failure: those words."""
        found = {backend: [self.entry(row, backend) for row in self.rows] for backend in self.backends}
        return {
            backend: " or ".join(dict.fromkeys(map(str, entries)))
            for backend, entries in found.items()
            if all(isinstance(e, str) and e not in FAILURES for e in entries)
        }

    def peers(self, row: Row) -> Peers:
        return find_peers(self.cases, self.case_at(row, ""))

    def speed(self, record: CaseRecord) -> Speed | None:
        """Against the vendor's same cell, or its GRU of the same H where it has none. None for the vendor itself."""
        return self.compare_with(record, find_peers(self.cases, record.case).first) if record.case.backend != "vendor" else None

    def has_unlike_peer(self, record: CaseRecord) -> bool:
        """Whether there is a time to hold it against, but of other work."""
        peer = find_peers(self.cases, record.case).first
        return peer is not None and not is_comparable(record, peer)

    def compare_with(self, record: CaseRecord, peer: CaseRecord | None) -> Speed | None:
        return compare_cases(record, peer, self.noise.margin) if peer else None

    def mark_fastest(self, row: Row) -> dict[str, str]:
        """Of a row with something to compare: the fastest backend by its median, and those that aren't shown to be slower."""
        found = self.timed_records(row)
        if len(found) < 2:
            return {}
        best = min(found, key=lambda backend: median_seconds(found[backend]).value)
        others = {backend: record for backend, record in found.items() if backend != best and is_comparable(record, found[best])}
        against = {backend: self.compare_with(record, found[best]) for backend, record in others.items()}
        tied = {backend: TIED for backend, speed in against.items() if speed and speed.verdict != "slower"}
        return {best: FASTEST, **tied} if others else {}

    def algorithm(self, row: Row) -> str:
        """Return the algorithm that cuDNN is expected to take for a row, or for the GRU that the row is compared with."""
        found = self.cases.get(self.case_at(row, "vendor"))
        peer = found if found and found.algorithm else self.peers(row).first
        return peer.algorithm if peer else ""


def build_grids(records: Sequence[CaseRecord]) -> list[Grid]:
    """Build one for each task and dtype: training before inference, including the input projection first. What was skipped is in
    none, and controls are in their noise alone."""
    cases = CaseIndex.of(record for record in records if record.status != "skipped" and not record.case.aa_repeat)
    sizes = {size_of(case) for case, record in cases.items() if is_timed(record)} or {size_of(case) for case in cases}
    inside = {case.backend for case in cases if size_of(case) in sizes}
    groups: dict[Case, list[Case]] = {}
    elsewhere: dict[bool, dict[tuple[str, str], str]] = {True: {}, False: {}}
    measured = measure_noise(records)
    for case, record in cases.items():
        if record.status == "verified" or (size_of(case) not in sizes and case.backend not in inside):
            elsewhere[case.input_product][case.cell, case.backend] = shorten_status(record)
        elif not case.matched_params_of:
            groups.setdefault(case.model_copy(update=NOWHERE), []).append(case)
    return [
        Grid(
            common.model_copy(update=shared_size(group)),
            cases,
            rows=list_rows(group),
            backends=sort_backends({case.backend for case in group} | {backend for _, backend in elsewhere[common.input_product]}),
            elsewhere=elsewhere[common.input_product],
            noise=measured,
        )
        for common, group in sorted(groups.items(), key=lambda item: (not item[0].input_product, list(MODES).index(item[0].mode)))
    ]


NOWHERE = {"cell": "", "T": 0, "B": 0, "D": 0, "H": 0, "backend": ""}


def shared_size(group: Sequence[Case]) -> dict[str, int]:
    """B, D and H, where all cases have the same."""
    sizes = {size_of(case) for case in group}
    return dict(zip(("B", "D", "H"), sizes.pop(), strict=True)) if len(sizes) == 1 else {}


def list_rows(group: Sequence[Case]) -> tuple[Row, ...]:
    """Every cell at every T, where there is one size; else each size that there is, by cell, widths and batch."""
    if shared_size(group):
        size, lengths = size_of(group[0]), sorted({case.T for case in group})
        return tuple(Row(cell, T, *size) for cell in sorted({case.cell for case in group}) for T in lengths)
    found = {Row(case.cell, case.T, *size_of(case)) for case in group}
    return tuple(sorted(found, key=lambda row: (row.cell, row.H, row.D, row.B, row.T)))


def size_of(case: Case) -> tuple[int, int, int]:
    return case.B, case.D, case.H


def sort_backends(backends: set[str]) -> tuple[str, ...]:
    """The vendor first, which the others are compared with."""
    return tuple(sorted(backends, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)))

"""Arranges the cases of a run as a table: a row per cell and size, a column per backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.analysis.summary import CaseIndex, Peers, find_peers, is_comparable, is_timed, median_time
from bench.analysis.verdict import Noise, Speed, compare_cases, measure_noise
from bench.records import FAILURES, Case, CaseRecord
from bench.records.backend_table import order_backend
from bench.render.formatting import MODES, shorten_status

FASTEST, TIED, HOST = "★", "☆", "†"


class Row(NamedTuple):
    """The key of a row: T time steps, B sequences, D inputs and H units."""

    cell: str
    T: int
    B: int
    D: int
    H: int


@dataclass(frozen=True)
class Grid:
    """Cases that differ only in cell, size and backend.

    Attributes:
        common: What they share; B, D and H are 0 if they differ.
        cases: All cases of the run, to find peers.
        rows: The rows.
        backends: The columns.
        elsewhere: The outcome, in a word, of a (cell, backend) that was only checked at another size, without a time.
        noise: The noise of the run.
    """

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
        """Returns whether rows differ in more than cell and T."""
        return not self.common.H

    @property
    def longest_rows(self) -> tuple[Row, ...]:
        """Returns the rows with the longest T; all rows if there are several sizes."""
        T = self.lengths[-1]
        return tuple(row for row in self.rows if self.has_several_sizes or row.T == T)

    @property
    def at_longest(self) -> str:
        """Returns ", T=128" for a title, or "" if the table has several T."""
        return "" if self.has_several_sizes else f", T={self.lengths[-1]}"

    @property
    def keys(self) -> tuple[str, ...]:
        """Returns the names of the columns that identify a row."""
        sizes = ("B", "D", "H") if any(row.D != row.H for row in self.rows) else ("B", "H")
        return ("cell", "T", *sizes) if self.has_several_sizes else ("cell", "T")

    @property
    def longest_keys(self) -> tuple[str, ...]:
        """Returns the names of the columns that identify a row among `longest_rows`."""
        return self.keys if self.has_several_sizes else ("cell",)

    def case_at(self, row: Row, backend: str) -> Case:
        return self.common.model_copy(update={**row._asdict(), "backend": backend})

    def find_entry(self, row: Row, backend: str) -> CaseRecord | str:
        """Returns the record of a timed case, or a word that says why there is no time."""
        record = self.cases.get(self.case_at(row, backend))
        if record is None:
            return self.elsewhere.get((row.cell, backend), "not run")
        return record if is_timed(record) else shorten_status(record)

    def timed_records(self, row: Row) -> dict[str, CaseRecord]:
        """Returns the timed cases of a row by backend."""
        found = {backend: self.find_entry(row, backend) for backend in self.backends}
        return {backend: record for backend, record in found.items() if isinstance(record, CaseRecord)}

    @property
    def untimed_backends(self) -> dict[str, str]:
        """Returns the backends without a time and without a failure in all rows, with the reasons."""
        found = {backend: [self.find_entry(row, backend) for row in self.rows] for backend in self.backends}
        silent = {b: words for b, words in found.items() if all(isinstance(w, str) and w not in FAILURES for w in words)}
        return {backend: " or ".join(dict.fromkeys(map(str, words))) for backend, words in silent.items()}

    def find_peers(self, row: Row) -> Peers:
        return find_peers(self.cases, self.case_at(row, ""))

    def find_speed(self, record: CaseRecord) -> Speed | None:
        """Returns the speed relative to the vendor's same cell, or without it to the vendor's GRU of the same H; None for the vendor
        itself."""
        return self.compare_with(record, find_peers(self.cases, record.case).first) if record.case.backend != "vendor" else None

    def has_unlike_peer(self, record: CaseRecord) -> bool:
        """Returns whether there is a peer that is not comparable."""
        peer = find_peers(self.cases, record.case).first
        return peer is not None and not is_comparable(record, peer)

    def compare_with(self, record: CaseRecord, peer: CaseRecord | None) -> Speed | None:
        return compare_cases(record, peer, self.noise) if peer else None

    def mark_fastest(self, row: Row) -> dict[str, str]:
        """Returns marks by backend: the fastest one by its median, and those that are not significantly slower; {} if there is nothing to
        compare."""
        found = self.timed_records(row)
        if len(found) < 2:
            return {}
        best = min(found, key=lambda backend: median_time(found[backend]).value)
        others = {backend: record for backend, record in found.items() if backend != best and is_comparable(record, found[best])}
        against = {backend: self.compare_with(record, found[best]) for backend, record in others.items()}
        tied = {b: TIED for b, speed in against.items() if speed and speed.ratio.bounded and speed.verdict in ("tie", "ambiguous")}
        return {best: FASTEST, **tied} if others else {}

    def find_algorithm(self, row: Row) -> str:
        """Returns the algorithm that cuDNN is expected to use for a row, or for the GRU that the row is compared with."""
        found = self.cases.get(self.case_at(row, "vendor"))
        peer = found if found and found.algorithm else self.find_peers(row).first
        return peer.algorithm if peer else ""


def build_grids(records: Sequence[CaseRecord]) -> list[Grid]:
    """Builds a grid for each task and dtype: including the input projection first, training before inference.

    Skipped cases and A/A repeats are left out; the repeats determine the noise.
    """
    cases = CaseIndex.from_records(record for record in records if record.status != "skipped" and not record.case.aa_repeat)
    sizes = {find_size(case) for case, record in cases.items() if is_timed(record)} or {find_size(case) for case in cases}
    inside = {case.backend for case in cases if find_size(case) in sizes}
    groups: dict[Case, list[Case]] = {}
    elsewhere: dict[bool, dict[tuple[str, str], str]] = {True: {}, False: {}}
    measured = measure_noise(records)
    for case, record in cases.items():
        if record.status == "verified" or (find_size(case) not in sizes and case.backend not in inside):
            elsewhere[case.input_product][case.cell, case.backend] = shorten_status(record)
        elif not case.matched_params_of:
            groups.setdefault(case.model_copy(update=NOWHERE), []).append(case)
    return [
        Grid(
            common.model_copy(update=find_shared_size(group)),
            cases,
            rows=list_rows(group),
            backends=tuple(sorted({c.backend for c in group} | {b for _, b in elsewhere[common.input_product]}, key=order_backend)),
            elsewhere=elsewhere[common.input_product],
            noise=measured,
        )
        for common, group in sorted(groups.items(), key=lambda item: (not item[0].input_product, list(MODES).index(item[0].mode)))
    ]


NOWHERE = {"cell": "", "T": 0, "B": 0, "D": 0, "H": 0, "backend": ""}


def find_shared_size(group: Sequence[Case]) -> dict[str, int]:
    """Returns B, D and H if all cases share them, else {}."""
    sizes = {find_size(case) for case in group}
    return dict(zip(("B", "D", "H"), sizes.pop(), strict=True)) if len(sizes) == 1 else {}


def list_rows(group: Sequence[Case]) -> tuple[Row, ...]:
    """Returns each cell at each T if all cases share a size; otherwise all existing sizes by cell, widths and batch."""
    if find_shared_size(group):
        size, lengths = find_size(group[0]), sorted({case.T for case in group})
        return tuple(Row(cell, T, *size) for cell in sorted({case.cell for case in group}) for T in lengths)
    found = {Row(case.cell, case.T, *find_size(case)) for case in group}
    return tuple(sorted(found, key=lambda row: (row.cell, row.H, row.D, row.B, row.T)))


def find_size(case: Case) -> tuple[int, int, int]:
    return case.B, case.D, case.H

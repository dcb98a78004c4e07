"""The cases of a run laid out as a table: a row for each cell and size, a column for each backend."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from bench.analysis.summary import Peers, alike, host_bound, peers, seconds, timed
from bench.analysis.verdict import Noise, Speed, compared, noise
from bench.records import FAILURES, Case, CaseRecord
from bench.records.backend_table import COLUMNS
from bench.render.formatting import MODES, word

ORDER = COLUMNS
FASTEST, TIED, HOST = "★", "☆", "†"
HOST_LEGEND = f"{HOST}: host-bound, the host issued the work more slowly than the GPU did it."


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
    cases: dict[Case, CaseRecord]
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
    def several(self) -> bool:
        """Whether rows differ in more than cell and T, and so must say their size."""
        return not self.common.H

    @property
    def longest(self) -> tuple[Row, ...]:
        """The rows of the longest T, but all where they are of several sizes."""
        T = self.lengths[-1]
        return tuple(row for row in self.rows if self.several or row.T == T)

    @property
    def at_longest(self) -> str:
        """ ", T=128", for a title; "" where a table has more than that T."""
        return "" if self.several else f", T={self.lengths[-1]}"

    @property
    def keys(self) -> tuple[str, ...]:
        """The columns that tell one row from another."""
        sizes = ("B", "D", "H") if any(row.D != row.H for row in self.rows) else ("B", "H")
        return ("cell", "T", *sizes) if self.several else ("cell", "T")

    @property
    def longest_keys(self) -> tuple[str, ...]:
        """The same, among those of `longest`."""
        return self.keys if self.several else ("cell",)

    @staticmethod
    def names(row: Row, keys: Sequence[str]) -> list[str]:
        return [str(getattr(row, key)) for key in keys]

    def at(self, row: Row, backend: str) -> Case:
        return self.common.model_copy(update={**row._asdict(), "backend": backend})

    def entry(self, row: Row, backend: str) -> CaseRecord | str:
        """The record of a timed case, else a word that says why there is no time."""
        record = self.cases.get(self.at(row, backend))
        if record is None:
            return self.elsewhere.get((row.cell, backend), "not run")
        return record if timed(record) else word(record)

    def timed(self, row: Row) -> dict[str, CaseRecord]:
        """The timed cases of a row, by backend."""
        found = {backend: self.entry(row, backend) for backend in self.backends}
        return {backend: record for backend, record in found.items() if isinstance(record, CaseRecord)}

    @property
    def silent(self) -> dict[str, str]:
        """Backends that have a word instead of a time in every row, and no failure: those words."""
        found = {backend: [self.entry(row, backend) for row in self.rows] for backend in self.backends}
        return {
            backend: " or ".join(dict.fromkeys(map(str, entries)))
            for backend, entries in found.items()
            if all(isinstance(e, str) and e not in FAILURES for e in entries)
        }

    def peers(self, row: Row) -> Peers:
        return peers(self.cases, self.at(row, ""))

    def speed(self, record: CaseRecord) -> Speed | None:
        """Against the vendor's same cell, or its GRU of the same H where it has none. None for the vendor itself."""
        return self.against(record, peers(self.cases, record.case).first) if record.case.backend != "vendor" else None

    def unlike(self, record: CaseRecord) -> bool:
        """Whether there is a time to hold it against, but of other work."""
        peer = peers(self.cases, record.case).first
        return peer is not None and not alike(record, peer)

    def against(self, record: CaseRecord, peer: CaseRecord | None) -> Speed | None:
        return compared(record, peer, self.noise.margin) if peer else None

    def marks(self, row: Row) -> dict[str, str]:
        """Of a row with something to compare: the fastest backend by its median, and those that aren't shown to be slower."""
        found = self.timed(row)
        if len(found) < 2:
            return {}
        best = min(found, key=lambda backend: seconds(found[backend]).value)
        others = {backend: record for backend, record in found.items() if backend != best and alike(record, found[best])}
        against = {backend: self.against(record, found[best]) for backend, record in others.items()}
        tied = {backend: TIED for backend, speed in against.items() if speed and speed.verdict != "slower"}
        return {best: FASTEST, **tied} if others else {}

    @property
    def host_bound(self) -> bool:
        """Whether the host set any of the times."""
        return any(host_bound(record) for row in self.rows for record in self.timed(row).values())

    def algorithm(self, row: Row) -> str:
        """What cuDNN is expected to take for a row, or for the GRU that it is held against."""
        found = self.cases.get(self.at(row, "vendor"))
        peer = found if found and found.algorithm else self.peers(row).first
        return peer.algorithm if peer else ""


def grids(records: Sequence[CaseRecord]) -> list[Grid]:
    """One for each task and dtype: training before inference, with the input product before without. What was skipped is in none, and
    controls are in their noise alone."""
    cases = {record.case: record for record in records if record.status != "skipped" and not record.case.aa_repeat}
    sizes = {measure(case) for case, record in cases.items() if timed(record)} or {measure(case) for case in cases}
    inside = {case.backend for case in cases if measure(case) in sizes}
    groups: dict[Case, list[Case]] = {}
    elsewhere: dict[bool, dict[tuple[str, str], str]] = {True: {}, False: {}}
    measured = noise(records)
    for case, record in cases.items():
        if record.status == "verified" or (measure(case) not in sizes and case.backend not in inside):
            elsewhere[case.input_product][case.cell, case.backend] = word(record)
        elif not case.matched_params_of:
            groups.setdefault(case.model_copy(update=NOWHERE), []).append(case)
    return [
        Grid(
            common.model_copy(update=shared(group)),
            cases,
            rows=rows(group),
            backends=ordered({case.backend for case in group} | {backend for _, backend in elsewhere[common.input_product]}),
            elsewhere=elsewhere[common.input_product],
            noise=measured,
        )
        for common, group in sorted(groups.items(), key=lambda item: (not item[0].input_product, list(MODES).index(item[0].mode)))
    ]


NOWHERE = {"cell": "", "T": 0, "B": 0, "D": 0, "H": 0, "backend": ""}


def shared(group: Sequence[Case]) -> dict[str, int]:
    """B, D and H, where all cases have the same."""
    sizes = {measure(case) for case in group}
    return dict(zip(("B", "D", "H"), sizes.pop(), strict=True)) if len(sizes) == 1 else {}


def rows(group: Sequence[Case]) -> tuple[Row, ...]:
    """Every cell at every T, where there is one size; else each size that there is, by cell, widths and batch."""
    if shared(group):
        size, lengths = measure(group[0]), sorted({case.T for case in group})
        return tuple(Row(cell, T, *size) for cell in sorted({case.cell for case in group}) for T in lengths)
    found = {Row(case.cell, case.T, *measure(case)) for case in group}
    return tuple(sorted(found, key=lambda row: (row.cell, row.H, row.D, row.B, row.T)))


def measure(case: Case) -> tuple[int, int, int]:
    return case.B, case.D, case.H


def ordered(backends: set[str]) -> tuple[str, ...]:
    """The vendor first, as what the others are held against."""
    return tuple(sorted(backends, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)))

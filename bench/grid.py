"""The cases of a run laid out as a table: a row for each cell and T, a column for each backend."""

from collections.abc import Sequence
from dataclasses import dataclass

from bench.record import FAILURES, Case, CaseRecord
from bench.summary import Estimate, Peers, peers, seconds, speed, timed
from bench.words import word

ORDER = ("vendor", "eager", "compiled", "stepwise", "resident", "scan", "torchrecurrent")
FASTEST, TIED = "★", "☆"


@dataclass(frozen=True)
class Grid:
    """Cases that differ in cell, T and backend alone; `common` is what they share. `cases` are all of the run, to look peers up in.
    `elsewhere` has the outcome, in a word, of a (cell, backend) that was checked at a size of its own, without a time."""

    common: Case
    cases: dict[Case, CaseRecord]
    cells: tuple[str, ...]
    lengths: tuple[int, ...]
    backends: tuple[str, ...]
    elsewhere: dict[tuple[str, str], str]

    @property
    def rows(self) -> list[tuple[str, int]]:
        return [(cell, T) for cell in self.cells for T in self.lengths]

    def at(self, cell: str, T: int, backend: str) -> Case:
        return self.common.model_copy(update={"cell": cell, "T": T, "backend": backend})

    def entry(self, cell: str, T: int, backend: str) -> CaseRecord | str:
        """The record of a timed case, else a word that says why there is no time."""
        record = self.cases.get(self.at(cell, T, backend))
        if record is None:
            return self.elsewhere.get((cell, backend), "not run")
        return record if timed(record) else word(record)

    def timed(self, cell: str, T: int) -> dict[str, CaseRecord]:
        """The timed cases of a row, by backend."""
        found = {backend: self.entry(cell, T, backend) for backend in self.backends}
        return {backend: record for backend, record in found.items() if isinstance(record, CaseRecord)}

    @property
    def silent(self) -> dict[str, str]:
        """Backends that have a word instead of a time in every row, and no failure: those words."""
        found = {backend: [self.entry(cell, T, backend) for cell, T in self.rows] for backend in self.backends}
        return {
            backend: " or ".join(dict.fromkeys(map(str, entries)))
            for backend, entries in found.items()
            if all(isinstance(e, str) and e not in FAILURES for e in entries)
        }

    def peers(self, cell: str, T: int) -> Peers:
        return peers(self.cases, self.at(cell, T, ""))

    def speed(self, record: CaseRecord) -> Estimate | None:
        """Against the vendor's same cell, or its GRU of the same H where it has none. None for the vendor itself."""
        peer = peers(self.cases, record.case).first
        return speed(record, peer) if peer and record.case.backend != "vendor" else None

    def marks(self, cell: str, T: int) -> dict[str, str]:
        """Of a row with something to compare: the fastest backend by its median, and those that aren't shown to be slower."""
        found = self.timed(cell, T)
        if len(found) < 2:
            return {}
        best = min(found, key=lambda backend: seconds(found[backend]).value)
        against = {backend: speed(record, found[best]) for backend, record in found.items() if backend != best}
        tied = {backend: TIED for backend, ratio in against.items() if ratio and ratio.bounded and ratio.verdict != "slower"}
        return {best: FASTEST, **tied}


def grids(records: Sequence[CaseRecord]) -> list[Grid]:
    """One for each task and size: training before inference, with the input product before without."""
    cases = {record.case: record for record in records}
    sizes = {measure(case) for case, record in cases.items() if timed(record)} or {measure(case) for case in cases}
    groups: dict[Case, list[Case]] = {}
    elsewhere: dict[bool, dict[tuple[str, str], str]] = {True: {}, False: {}}
    for case, record in cases.items():
        if record.status == "verified" or measure(case) not in sizes:
            elsewhere[case.input_product][case.cell, case.backend] = word(record)
        elif not case.stands_for:
            groups.setdefault(case.model_copy(update={"cell": "", "T": 0, "backend": ""}), []).append(case)
    return [
        Grid(
            common,
            cases,
            cells=tuple(sorted({case.cell for case in group})),
            lengths=tuple(sorted({case.T for case in group})),
            backends=ordered({case.backend for case in group} | {backend for _, backend in elsewhere[common.input_product]}),
            elsewhere=elsewhere[common.input_product],
        )
        for common, group in sorted(groups.items(), key=lambda item: (not item[0].input_product, item[0].mode != "training"))
    ]


def measure(case: Case) -> tuple[int, int, int]:
    return case.B, case.D, case.H


def ordered(backends: set[str]) -> tuple[str, ...]:
    """The vendor first, as what the others are held against."""
    return tuple(sorted(backends, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name)))

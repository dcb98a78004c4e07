"""The tables of times and speeds: built once, for a terminal, a report and CSV."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from statistics import geometric_mean
from typing import Any

from bench.analysis import roofline
from bench.analysis.summary import is_host_bound, median_seconds, sgemm_share
from bench.records import CaseRecord, Environment
from bench.render.case_grid import FASTEST, HOST, TIED, Grid, Row
from bench.render.formatting import (
    OTHER,
    count_noun,
    describe_size,
    describe_task,
    explain_no_ratio,
    format_factor,
    format_lower_bound,
    format_ms,
    format_number,
    format_share,
    format_speed,
    format_speed_interval,
)
from bench.render.table import Column, Table

TIME_PARTS = (
    Column("", "time", "ms"), Column("", "speedup"), Column("", "speedup_over", words=True), Column("", "rank", words=True),
    Column("", "host_bound", words=True),
)  # fmt: skip
RANKS = {FASTEST: "fastest", TIED: "tied"}
TIMES = "Median milliseconds of a call (± half of its 95% interval), then its speedup over torch.nn, whose backend is the vendor."


def key_columns(keys: Sequence[str]) -> list[Column]:
    """Columns that tell one row of a grid from another."""
    return [Column(key, key, words=key == "cell") for key in keys]


def row_keys(row: Row, keys: Sequence[str]) -> list[Any]:
    return [getattr(row, key) for key in keys]


def times_table(grid: Grid) -> Table:
    """Times with their intervals, the speedup over torch.nn, and the algorithm that cuDNN is expected to take."""
    silent = grid.untimed_backends if len(grid.untimed_backends) < len(grid.backends) else {}
    columns = [Column(b, show=show_time, brief=show_brief_time, at=b, parts=TIME_PARTS, terminal=b not in silent) for b in grid.backends]
    algorithms = [grid.algorithm(row) for row in grid.rows]
    rows = []
    for row, algorithm in zip(grid.rows, algorithms, strict=True):
        marks = grid.mark_fastest(row)
        rows.append([*row_keys(row, grid.keys), *(time_of(grid, row, b, marks.get(b, "")) for b in grid.backends), algorithm or None])
    last = [Column("cuDNN, expected", "expected_algorithm", words=True)]
    note = " ".join(f"{backend}: {found}, no time." for backend, found in silent.items())
    kept = slice(None) if any(algorithms) else slice(-1)
    return Table(
        describe_task(grid.common), [*key_columns(grid.keys), *columns, *last][kept], [row[kept] for row in rows],
        f"{describe_size(grid.common)}. {TIMES}", across="backend", grouped=True, note=note,
    )  # fmt: skip


def time_of(grid: Grid, row: Row, backend: str, mark: str) -> Any:
    """The parts of a time (see TIME_PARTS), or the status of a case without one."""
    found = grid.entry(row, backend)
    if isinstance(found, str):
        return found
    peers, speed = grid.peers(row), grid.speed(found)
    against = OTHER if speed is None and grid.has_unlike_peer(found) else None if speed is None else "gru" if peers.width else "same cell"
    return median_seconds(found), speed, against, RANKS.get(mark), "yes" if is_host_bound(found) else None


def show_time(value: tuple[Any, ...]) -> str:
    time, speed, against, rank, host = value
    half = f" ±{format_number(1e3 * time.half, 2)}" if time.bounded else ""
    note = f"({format_speed(speed)}{' gru' * (against == 'gru')})" if speed else f"({OTHER})" * (against == OTHER)
    return join_words(mark_of(rank), format_ms(time) + half, HOST if host else "", note)


def show_brief_time(value: tuple[Any, ...]) -> str:
    time, speed, against, rank, host = value
    note = f"{format_speed(speed)}{' gru' * (against == 'gru')}" if speed else OTHER * (against == OTHER)
    return join_words(mark_of(rank), format_ms(time) + (HOST if host else ""), note)


def mark_of(rank: str | None) -> str:
    return next((mark for mark, known in RANKS.items() if known == rank), "")


def join_words(*words: str) -> str:
    return " ".join(filter(None, words))


@dataclass(frozen=True)
class MeanSpeed:
    """The geometric mean of a backend's speed over so many cases of a mode, against `peer` ("same" cell or "gru"), whose time was
    `host_bound` in so many."""

    mode: str
    backend: str
    peer: str
    value: float
    cases: int
    host_bound: int = 0


def mean_speeds(grid: Grid) -> Iterator[MeanSpeed]:
    """Yield the mean speed of every backend against each kind of peer that it has."""
    for backend in grid.backends:
        found: dict[str, list[float]] = {}
        bound = Counter[str]()
        for row in grid.rows:
            record = grid.timed_records(row).get(backend)
            if record and (speed := grid.speed(record)):
                peers = grid.peers(row)
                peer = "same" if peers.same else "gru"
                found.setdefault(peer, []).append(speed.ratio.value)
                bound[peer] += bool(peers.first and is_host_bound(peers.first))
        yield from (MeanSpeed(grid.common.mode, backend, peer, geometric_mean(v), len(v), bound[peer]) for peer, v in found.items())


def describe_mean(mean: MeanSpeed) -> str:
    """One line of a report."""
    peer = "torch.nn's own cell" if mean.peer == "same" else "torch.nn's gru of equal H"
    over = count_noun(mean.cases, "case") + (f", in {mean.host_bound} of them torch.nn is host-bound" if mean.host_bound else "")
    return f"- {mean.backend}: {format_factor(mean.value)} the speed of {peer} (geometric mean of {over})"


def gru_table(grid: Grid, chosen: Sequence[Row], title: str = "") -> Table:
    """The timed cases of cells that torch.nn doesn't have, compared with its GRU."""
    rows = []
    for row in chosen:
        found = grid.peers(row)
        for backend, record in grid.timed_records(row).items() if (found.width or found.parameters) else ():
            ratios = (grid.compare_with(record, peer) or explain_no_ratio(record, peer) for peer in (found.width, found.parameters))
            H = found.parameters.case.H if found.parameters else None
            rows.append([row.cell, backend, *row_keys(row, grid.keys[1:]), *ratios, H])
    width = "the same H" if grid.has_several_sizes else f"H={grid.common.H}"
    columns = [
        Column("cell", "cell", words=True), Column("backend", "backend", words=True), *key_columns(grid.keys[1:]),
        Column(f"speedup over gru of {width}", "speedup_same_h", "", format_speed_interval, brief=format_speed),
        Column("speedup over gru of as many parameters", "speedup_same_parameters", "", format_speed_interval, brief=format_speed),
        Column("its H", "gru_H"),
    ]  # fmt: skip
    return Table(title or f"Against torch.nn's gru{grid.at_longest}", columns, rows, level=0 if title else 3, grouped=True)


def sgemm_table(grid: Grid, here: Environment) -> Table:
    """Flop/s over those of the machine's own matrix product, in percent, at the longest T."""
    found = {row: {b: sgemm_share(record, here) for b, record in grid.timed_records(row).items()} for row in grid.longest_rows}
    shown = [b for b in grid.backends if any(shares.get(b) is not None for shares in found.values())]

    def share(row: Row, backend: str) -> float | str:
        known, entry = found[row].get(backend), grid.entry(row, backend)
        return known if known is not None else entry if isinstance(entry, str) else "not known"

    rows = [[*row_keys(row, grid.longest_keys), *(share(row, b) for b in shown)] for row in found]
    columns = [*key_columns(grid.longest_keys), *(Column(b, "sgemm_share", "percent", format_share, at=b) for b in shown)]
    return Table(f"Share of the measured sgemm rate{grid.at_longest}", columns, rows if shown else [], across="backend", level=3)


def lower_bound_table(grid: Grid, here: Environment) -> Table:
    """The hardware lower bound of each row at the longest T, which part sets it, and times over it by backend."""
    timed = {row: grid.timed_records(row) for row in grid.longest_rows}
    known = {row: next(filter(None, (roofline.find_lower_bound(r, here) for r in found.values())), None) for row, found in timed.items()}
    backends = [b for b in grid.backends if any(b in found for found in timed.values())]

    def times(record: CaseRecord | None) -> float | None:
        return roofline.times_lower_bound(record, here) if record else None

    rows = [
        [*row_keys(row, grid.longest_keys), f.floor, f.part, *(times(timed[row].get(b)) for b in backends)] for row, f in known.items() if f
    ]
    columns = [
        *key_columns(grid.longest_keys), Column("lower bound, ms", "lower_bound", "ms", format_ms), Column("set by", "set_by", words=True),
        *(Column(b, "time_over_lower_bound", "", format_lower_bound, at=b) for b in backends),
    ]  # fmt: skip
    return Table(f"× hardware lower bound{grid.at_longest}", columns, rows, across="backend", level=3)

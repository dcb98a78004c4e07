"""Builds the tables of times and speeds, for all writers."""

from collections.abc import Sequence
from typing import Any

from bench.analysis import roofline
from bench.analysis.summary import is_host_bound, median_time, sgemm_share
from bench.records import CaseRecord, Environment
from bench.render.case_grid import FASTEST, HOST, TIED, Grid, Row
from bench.render.formatting import (
    OTHER,
    describe_size,
    describe_task,
    explain_no_ratio,
    format_lower_bound,
    format_ms,
    format_number,
    format_share,
    format_speed,
    format_speed_interval,
)
from bench.render.table import BACKEND, CELL, Column, Table, make_word_column

TIME_PARTS = (Column("", "time", "ms"), Column("", "speedup"), *map(make_word_column, ("speedup_over", "rank", "host_bound")))
RANKS = {FASTEST: "fastest", TIED: "tied"}
TIMES = "Milliseconds per call"
"""The words by which `method.TERMS` finds a table of times."""


def make_key_columns(keys: Sequence[str]) -> list[Column]:
    """Returns the columns that identify a row of a grid."""
    return [Column(key, key, words=key == "cell") for key in keys]


def list_key(row: Row, keys: Sequence[str]) -> list[Any]:
    return [getattr(row, key) for key in keys]


def make_times_table(grid: Grid) -> Table:
    """Returns the table of times with intervals, speedups over torch.nn, and the algorithm that cuDNN is expected to use."""
    silent = grid.untimed_backends if len(grid.untimed_backends) < len(grid.backends) else {}
    columns = [Column(b, show=show_time, brief=show_brief_time, at=b, parts=TIME_PARTS, terminal=b not in silent) for b in grid.backends]
    algorithms = [grid.find_algorithm(row) for row in grid.rows]
    rows = []
    for row, algorithm in zip(grid.rows, algorithms, strict=True):
        marks = grid.mark_fastest(row)
        rows.append([*list_key(row, grid.keys), *(make_time(grid, row, b, marks.get(b, "")) for b in grid.backends), algorithm or None])
    last = [make_word_column("expected_algorithm", "cuDNN, expected")]
    note = " ".join(f"{backend}: no time ({found})." for backend, found in silent.items())
    kept = slice(None) if any(algorithms) else slice(-1)
    return Table(
        describe_task(grid.common), [*make_key_columns(grid.keys), *columns, *last][kept], [row[kept] for row in rows],
        f"{describe_size(grid.common)}. {TIMES}.", across="backend", grouped=True, note=note,
    )  # fmt: skip


def make_time(grid: Grid, row: Row, backend: str, mark: str) -> Any:
    """Returns the parts of a time (see TIME_PARTS), or the status of a case without a time."""
    found = grid.find_entry(row, backend)
    if isinstance(found, str):
        return found
    peers, speed = grid.find_peers(row), grid.find_speed(found)
    against = OTHER if speed is None and grid.has_unlike_peer(found) else None if speed is None else "gru" if peers.width else "same cell"
    return median_time(found), speed, against, RANKS.get(mark), "yes" if is_host_bound(found) else None


def show_time(value: tuple[Any, ...]) -> str:
    time, speed, against, rank, host = value
    half = f" ±{format_number(1e3 * time.half_width, 2)}" if time.bounded else ""
    note = f"({format_speed(speed)}{' gru' * (against == 'gru')})" if speed else f"({OTHER})" * (against == OTHER)
    return join_words(find_mark(rank), format_ms(time) + half, HOST if host else "", note)


def show_brief_time(value: tuple[Any, ...]) -> str:
    time, speed, against, rank, host = value
    note = f"{format_speed(speed)}{' gru' * (against == 'gru')}" if speed else OTHER * (against == OTHER)
    return join_words(find_mark(rank), format_ms(time) + (HOST if host else ""), note)


def find_mark(rank: str | None) -> str:
    return next((mark for mark, known in RANKS.items() if known == rank), "")


def join_words(*words: str) -> str:
    return " ".join(filter(None, words))


def make_gru_table(grid: Grid, chosen: Sequence[Row], title: str = "") -> Table:
    """Returns the table of cells that torch.nn lacks, compared with its GRU.

    Args:
        grid: The grid.
        chosen: The rows.
        title: Replaces the title and folds the table.
    """
    rows = []
    for row in chosen:
        found = grid.find_peers(row)
        for backend, record in grid.timed_records(row).items() if (found.width or found.parameters) else ():
            ratios = (grid.compare_with(record, peer) or explain_no_ratio(record, peer) for peer in (found.width, found.parameters))
            H = found.parameters.case.H if found.parameters else None
            rows.append([row.cell, backend, *list_key(row, grid.keys[1:]), *ratios, H])
    width = "the same H" if grid.has_several_sizes else f"H={grid.common.H}"
    columns = [
        CELL, BACKEND, *make_key_columns(grid.keys[1:]),
        Column(f"speedup over gru of {width}", "speedup_same_h", "", format_speed_interval, brief=format_speed),
        Column("speedup over gru of matched parameters", "speedup_same_parameters", "", format_speed_interval, brief=format_speed),
        Column("gru's H", "gru_H"),
    ]  # fmt: skip
    return Table(title or f"Speedup over torch.nn's gru{grid.at_longest}", columns, rows, level=0 if title else 3, grouped=True)


def make_sgemm_table(grid: Grid, here: Environment) -> Table:
    """Returns the table of flop/s relative to the machine's own matrix product, at the longest T."""
    found = {row: {b: sgemm_share(record, here) for b, record in grid.timed_records(row).items()} for row in grid.longest_rows}
    shown = [b for b in grid.backends if any(shares.get(b) is not None for shares in found.values())]

    def share(row: Row, backend: str) -> float | str:
        known, entry = found[row].get(backend), grid.find_entry(row, backend)
        return known if known is not None else entry if isinstance(entry, str) else "not known"

    rows = [[*list_key(row, grid.longest_keys), *(share(row, b) for b in shown)] for row in found]
    columns = [*make_key_columns(grid.longest_keys), *(Column(b, "sgemm_share", "percent", format_share, at=b) for b in shown)]
    return Table(f"Share of the measured sgemm rate{grid.at_longest}", columns, rows if shown else [], across="backend", level=3)


def make_bound_table(grid: Grid, here: Environment) -> Table:
    """Returns the table of hardware lower bounds at the longest T: what sets them, and each backend's time divided by them."""
    timed = {row: grid.timed_records(row) for row in grid.longest_rows}
    known = {row: next(filter(None, (roofline.find_lower_bound(r, here) for r in found.values())), None) for row, found in timed.items()}
    backends = [b for b in grid.backends if any(b in found for found in timed.values())]

    def times(record: CaseRecord | None) -> float | None:
        return roofline.times_lower_bound(record, here) if record else None

    keys = grid.longest_keys
    rows = [[*list_key(row, keys), f.seconds, f.part, *(times(timed[row].get(b)) for b in backends)] for row, f in known.items() if f]
    columns = [
        *make_key_columns(keys), Column("lower bound, ms", "lower_bound", "ms", format_ms), make_word_column("set_by", "set by"),
        *(Column(b, "time_over_lower_bound", "", format_lower_bound, at=b) for b in backends),
    ]  # fmt: skip
    return Table(f"× hardware lower bound{grid.at_longest}", columns, rows, across="backend", level=3)

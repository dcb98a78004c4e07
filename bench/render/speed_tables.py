"""The tables of times and speeds in a report. Each is "" where it would have no rows."""

from collections import Counter
from collections.abc import Iterator, Sequence
from statistics import geometric_mean

from bench.analysis import roofline
from bench.analysis.summary import is_host_bound, median_seconds, sgemm_share
from bench.records import CaseRecord, Environment
from bench.render.case_grid import HOST, Grid, Row
from bench.render.formatting import (
    BELOW,
    NONE,
    OTHER,
    count_noun,
    explain_no_ratio,
    format_factor,
    format_lower_bound,
    format_ms,
    format_number,
    format_speed,
    format_speed_interval,
)
from bench.render.markdown import table


def throughput(grid: Grid) -> str:
    """Milliseconds, half the width of their interval, × the vendor's speed, and what cuDNN is expected to take."""
    rows = []
    algorithms = [grid.algorithm(row) for row in grid.rows]
    for row, algorithm in zip(grid.rows, algorithms, strict=True):
        marks = grid.mark_fastest(row)
        entries = (entry(grid, grid.entry(row, b), marks.get(b, "")) for b in grid.backends)
        rows.append([*grid.row_key(row, grid.keys), *entries, *([algorithm or NONE] if any(algorithms) else [])])
    return table([*grid.keys, *grid.backends, *(["cuDNN, expected"] if any(algorithms) else [])], rows)


def entry(grid: Grid, found: CaseRecord | str, mark: str) -> str:
    if isinstance(found, str):
        return found
    t, speed = median_seconds(found), grid.speed(found)
    spread = f" ±{format_number(1e3 * (t.high - t.low) / 2, 2)}" if t.bounded else ""
    peer = " gru" if grid.peers(place(found)).width else ""
    note = f"({format_speed(speed)}{peer})" if speed else f"({OTHER})" if grid.has_unlike_peer(found) else ""
    return " ".join(filter(None, (mark, format_ms(t.value) + spread, HOST * is_host_bound(found), note)))


def place(record: CaseRecord) -> Row:
    case = record.case
    return Row(case.cell, case.T, case.B, case.D, case.H)


def means(grid: Grid) -> Iterator[str]:
    """Yield a line for each backend: the geometric mean of its speed, over how many cases, and in how many the peer was host-bound."""
    for backend in grid.backends:
        ratios: dict[str, list[float]] = {}
        bound = Counter[str]()
        for row in grid.rows:
            record = grid.timed_records(row).get(backend)
            speed = grid.speed(record) if record else None
            if speed:
                peers = grid.peers(row)
                peer = "the vendor's same cell" if peers.same else "the vendor's gru of equal H"
                ratios.setdefault(peer, []).append(speed.ratio.value)
                bound[peer] += bool(peers.first and is_host_bound(peers.first))
        for peer, values in ratios.items():
            over = count_noun(len(values), "case") + (f", in {bound[peer]} of them the vendor is host-bound" if bound[peer] else "")
            yield f"- {backend}: {format_factor(geometric_mean(values))} the speed of {peer} (geometric mean of {over})"


def against_gru(grid: Grid, chosen: Sequence[Row]) -> str:
    """The timed cases of cells that torch.nn doesn't have, against its GRU."""
    rows = []
    for row in chosen:
        found = grid.peers(row)
        for backend, record in grid.timed_records(row).items() if found.width or found.parameters else ():
            H = str(found.parameters.case.H) if found.parameters else NONE
            ratios = (against(grid, record, peer) for peer in (found.width, found.parameters))
            rows.append([row.cell, backend, *grid.row_key(row, grid.keys[1:]), *ratios, H])
    width = "the same H" if grid.has_several_sizes else f"H={grid.common.H}"
    headers = ("cell", "backend", *grid.keys[1:], f"speed × gru of {width}", "speed × gru of as many parameters", "its H")
    return table(headers, rows, left=2)


def against(grid: Grid, record: CaseRecord, peer: CaseRecord | None) -> str:
    speed = grid.compare_with(record, peer)
    return format_speed_interval(speed) if speed else explain_no_ratio(record, peer)


def shares(grid: Grid, environment: Environment) -> str:
    """Flop/s over those of the machine's own matrix product, in percent, at the longest T."""
    found = {row: {b: sgemm_share(record, environment) for b, record in grid.timed_records(row).items()} for row in grid.longest_rows}
    shown = [b for b in grid.backends if any(shares.get(b) is not None for shares in found.values())]
    rows = [
        [*grid.row_key(row, grid.longest_keys), *(percent(shares.get(b)) or word_of(grid.entry(row, b)) for b in shown)]
        for row, shares in found.items()
    ]
    return table([*grid.longest_keys, *shown], rows if shown else [])


def lights(grid: Grid, environment: Environment) -> str:
    """`floors` as markdown."""
    headers, *rows = floors(grid, environment) or [[]]
    return table(headers, rows, left=1)


def floors(grid: Grid, environment: Environment) -> list[list[str]]:
    """Headers, then for each cell at the longest T, or each row of several sizes, its floor in ms, which part sets it, and × of light
    by backend; [] where no floor is known."""
    timed = {row: grid.timed_records(row) for row in grid.longest_rows}
    known = {
        row: next(filter(None, (roofline.find_lower_bound(record, environment) for record in found.values())), None)
        for row, found in timed.items()
    }
    backends = [b for b in grid.backends if any(b in found for found in timed.values())]

    def entry(record: CaseRecord | None) -> str:
        return format_lower_bound(roofline.times_lower_bound(record, environment) if record else None)

    rows = [
        [*grid.row_key(row, grid.longest_keys), format_ms(f.floor), f.part, *(entry(timed[row].get(b)) for b in backends)]
        for row, f in known.items()
        if f
    ]
    return [[*grid.longest_keys, "floor, ms", "set by", *backends], *rows] if rows else []


def caution(rows: list[list[str]]) -> str:
    """What the mark of a time below its floor says, where one is shown."""
    marked = any(entry.startswith(BELOW) for row in rows for entry in row)
    return f"{BELOW} below 1: the model is wrong there, or the machine was faster than when it was measured." if marked else ""


def word_of(found: CaseRecord | str) -> str:
    return found if isinstance(found, str) else "not known"


def percent(share: float | None) -> str:
    return "" if share is None else f"{share:.0%}"

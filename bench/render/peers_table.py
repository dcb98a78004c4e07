"""Builds the table of peers over a grid of sizes: the times of the fastest peer and of torch.nn over ours."""

from statistics import geometric_mean

from bench.analysis.summary import is_comparable, median_time
from bench.records import CaseRecord
from bench.records.backend_table import find_backend
from bench.render.case_grid import Grid, Row
from bench.render.formatting import format_factor
from bench.render.table import Column, Table

Ratios = tuple[float | None, float | None]
PARTS = (Column("", "fastest_peer"), Column("", "torch_nn"))


def make_peers_table(grid: Grid) -> Table:
    """Returns the table, a row per cell and T and a column per B. It is empty in a grid of one B, and without a peer in a process of its
    own."""
    wanted = len({row.B for row in grid.rows}) > 1 and any(find_backend(backend).apart for backend in grid.backends)
    batches = sorted({row.B for row in grid.rows}) if wanted else []
    keys = sorted({(row.cell, row.T) for row in grid.rows}) if wanted else []
    rows = [
        [cell, T, *(mean_ratios(grid, [row for row in grid.rows if (row.cell, row.T, row.B) == (cell, T, B)]) for B in batches)]
        for cell, T in keys
    ]
    caption = (
        "The time of the fastest peer over ours / that of torch.nn over ours, geometric means over H; below 1 they are faster. Ours is the "
        "fastest derived schedule. torch.nn's is that of the same cell, else of its gru of the same H."
    )
    columns = [Column(f"B={B}", at=str(B), show=format_ratios, parts=PARTS) for B in batches]
    return Table(
        "Peers",
        [Column("cell", "cell", words=True), Column("T", "T"), *columns],
        rows,
        caption if rows else "",
        across="B",
        level=3,
        grouped=True,
    )


def mean_ratios(grid: Grid, rows: list[Row]) -> Ratios | None:
    """Returns the geometric means of both ratios over some rows; None where no row has one."""
    found = [compare_row(grid, row) for row in rows]
    fastest, vendor = ([ratio for pair in found if (ratio := pair[k]) is not None] for k in (0, 1))
    means = geometric_mean(fastest) if fastest else None, geometric_mean(vendor) if vendor else None
    return means if any(means) else None


def compare_row(grid: Grid, row: Row) -> Ratios:
    """Returns the time of the fastest peer with the same cell, and that of torch.nn, over that of our fastest schedule."""
    timed = grid.timed_records(row)
    own = [record for backend, record in timed.items() if find_backend(backend).kind == "schedule"]
    if not own:
        return None, None
    ours = min(own, key=find_time)
    peers = [record for backend, record in timed.items() if find_backend(backend).kind == "peer" and is_comparable(ours, record)]
    vendor = grid.find_peers(row).first
    return (
        find_time(min(peers, key=find_time)) / find_time(ours) if peers else None,
        find_time(vendor) / find_time(ours) if vendor and is_comparable(ours, vendor) else None,
    )


def find_time(record: CaseRecord) -> float:
    return median_time(record).value


def format_ratios(means: Ratios) -> str:
    return " / ".join("–" if mean is None else format_factor(mean) for mean in means)

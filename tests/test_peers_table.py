"""The table of peers: how much longer the fastest of them and torch.nn take than ours, over a grid of sizes."""

import pytest

from bench.render.case_grid import build_grids
from bench.render.peers_table import make_peers_table
from bench.render.table import write_markdown
from tests.records import case, timed


def cases(cell: str, B: int, H: int, **seconds: float) -> list:
    return [timed(case(cell, backend, B=B, D=H, H=H), *[time] * 9) for backend, time in seconds.items()]


GRID = [
    *cases("gru", 1, 64, compiled=2.0, vendor=3.0, jax=1.0, eager=0.1), *cases("gru", 1, 128, compiled=2.0, vendor=4.0, onnxruntime=9.0),
    *cases("gru", 8, 64, compiled=1.0, vendor=3.0), *cases("minimal", 1, 64, compiled=1.0, jax=5.0),
    *cases("minimal", 8, 64, jax=5.0), *(timed(case("minimal", "vendor", B=B, D=64, H=64), status="unsupported") for B in (1, 8)),
]  # fmt: skip


def test_geometric_means_over_widths():
    """The fastest peer is chosen at each H; a cell that torch.nn lacks has its gru, and an eager loop is no peer."""
    (grid,) = build_grids(GRID)
    gru, minimal = make_peers_table(grid).rows
    assert gru[:2] == ["gru", 128] and gru[2] == pytest.approx(((0.5 * 2) ** 0.5, (1.5 * 2) ** 0.5)) and gru[3] == pytest.approx((3, 3))
    assert minimal[2] == pytest.approx((5, 3)) and minimal[3] is None
    text = write_markdown(make_peers_table(grid))
    assert "1.00× / 1.73×" in text and "below 1 they are faster" in text


def test_one_batch_or_no_peer():
    """The tables of times show the same there."""
    for found in (
        cases("gru", 1, 64, compiled=1.0, jax=2.0),
        cases("gru", 1, 64, compiled=1.0, vendor=2.0) + cases("gru", 8, 64, compiled=1.0),
    ):
        assert not make_peers_table(build_grids(found)[0]).rows

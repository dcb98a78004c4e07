"""Which times a host has set, from records alone."""

import pytest

from bench.analysis.summary import is_host_bound
from bench.records import CaseRecord, Reading
from bench.records.case_record import HEAD_START_CYCLES
from bench.render.case_grid import HOST, build_grids
from bench.render.mean_speeds import compute_mean_speeds, describe_mean
from bench.render.speed_claims import claim_speed
from bench.render.speed_tables import make_times_table
from bench.render.table import write_table
from tests.records import case, timed

CLOCK = 2e9
AHEAD = HEAD_START_CYCLES / CLOCK
"""Seconds: 2 ms at 2 GHz."""


def taken(seconds: float, host: float | None, backend: str = "persistent", clock: float | None = CLOCK) -> CaseRecord:
    """A case with nine samples of a GPU."""
    beside = {"host": [] if host is None else [host] * 9, "readings": [Reading(clock=clock)] * 9}
    return timed(case("gru", backend), *[seconds] * 9, **beside)


@pytest.mark.parametrize(
    "seconds, host, bound",
    [
        (35e-3, 36.9e-3, True),  # seen of cuDNN's GRU on an H200: the host was done 1.8 ms before the GPU
        (7e-3, 3.7e-3, False),  # the host takes time, the GPU takes longer
        (0.2e-3, 1.3e-3, False),  # more than the call, within the head start
        (0.58e-3, 2.52e-3, True),  # 25 steps: what is beyond the head start is most of it
        (1e-3, AHEAD + 0.74e-3, False),
        (1e-3, AHEAD + 0.76e-3, True),
        (1e-3, None, False),  # a CPU has no host
    ],
)
def test_the_host_beyond_its_head_start(seconds, host, bound):
    assert is_host_bound(taken(seconds, host)) is bound


def test_without_a_clock_the_head_start_is_taken_to_be_long():
    assert not is_host_bound(taken(1e-3, 4.7e-3, clock=None))
    assert is_host_bound(taken(1e-3, 4.8e-3, clock=None))


def test_tables_and_headline_say_so():
    slow, fast = taken(35e-3, 36.9e-3, "vendor"), taken(7e-3, 3.7e-3)
    (grid,) = build_grids([slow, fast])
    assert f"35.0 ±0 {HOST}" in write_table(make_times_table(grid)) and write_table(make_times_table(grid)).count(HOST) == 1
    assert "in 1 of them torch.nn's time is host-bound" in claim_speed([grid])
    assert "in 1 of them torch.nn is host-bound" in " ".join(map(describe_mean, compute_mean_speeds(grid)))
    (grid,) = build_grids([taken(35e-3, 3e-3, "vendor"), fast])
    assert HOST not in write_table(make_times_table(grid)) and "host-bound" not in claim_speed([grid]) + " ".join(
        map(describe_mean, compute_mean_speeds(grid))
    )

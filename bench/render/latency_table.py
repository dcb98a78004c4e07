"""Builds the table of latencies: of cases with so many calls that their 99th percentile is known."""

from collections.abc import Sequence

import numpy as np

from bench.analysis.summary import is_timed, median_time
from bench.records import CaseRecord
from bench.records.backend_table import order_backend
from bench.render.formatting import format_number, label_cell
from bench.render.table import BACKEND, CELL, SIZES, Column, Table

FEWEST = 180
"""The calls of a case below which it has no 99th percentile."""
RATE = 48_000.0
"""Time steps per second of a stream of audio: one every 20.8 µs."""


def make_latency_table(cases: Sequence[CaseRecord]) -> Table:
    """Returns the table of inference including the input projection: median, 99th percentile and speed relative to a stream. It is empty
    without such cases."""
    wanted = [r for r in cases if r.case.mode == "inference" and r.case.input_product and not r.case.aa_repeat]
    known = [r for r in wanted if is_timed(r) and len(r.samples) >= FEWEST]
    ordered = sorted(known, key=lambda r: (label_cell(r.case), r.case.T, r.case.B, r.case.H, order_backend(r.case.backend)))
    columns = [
        CELL, *SIZES[:2], SIZES[3], BACKEND, Column("median, µs", "median", "us", format_microseconds),
        Column("99th percentile, µs", "percentile_99", "us", format_microseconds), Column("× real time", "real_time", "", format_number),
    ]  # fmt: skip
    rows = []
    for r in ordered:
        time = median_time(r).value
        tail = float(np.quantile(r.samples, 0.99))
        rows.append([label_cell(r.case), r.case.T, r.case.B, r.case.H, r.case.backend, time, tail, r.case.T / RATE / time])
    caption = (
        "Microseconds per call of T steps: the median, and the 99th percentile of all calls. × real time: T steps of a stream at 48 kHz, "
        "20.8 µs each, divided by the median; below 1 the backend can't keep up."
    )
    return Table("Latency", columns, rows, caption, grouped=True)


def format_microseconds(seconds: float) -> str:
    return format_number(1e6 * seconds)

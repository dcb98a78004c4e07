"""The table of all timed cases: a row per case, and a column for every known property."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.analysis import roofline
from bench.analysis.median_ci import find_outliers
from bench.analysis.summary import median_time, sequences_per_second, sgemm_share, timesteps_per_second, updates_per_second
from bench.records import CaseRecord, Environment, Reading
from bench.render.case_rows import find_median
from bench.render.formatting import format_lower_bound, format_ms, format_number, format_share, label_cell
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, drop_empty, make_word_column
from bench.render.tables import ERRORS, list_errors

Entry = tuple[Column, Callable[[CaseRecord], Any]]
"""A column, and the function that returns a case's value in it."""

TITLE = "Every timed case: rates, intervals, conditions, errors against float64"
TIME = (Column("", "time", "ms"),)


def make_case_table(cases: Sequence[CaseRecord], here: Environment) -> Table:
    """Returns the folded table of timed cases with rates, conditions, and errors against float64.

    Args:
        cases: The timed cases of one task.
        here: The environment of the run.
    """
    ordered = sorted(cases, key=lambda r: (r.case.T, r.case.cell, r.case.matched_params_of, r.case.backend, r.case.aa_repeat))
    several = len({r.case.B for r in cases}) > 1 or len({r.case.D for r in cases}) > 1
    columns, entries = zip(*list_entries(several, here), strict=True)
    shown = drop_empty(columns, [[entry(record) for entry in entries] for record in ordered])
    return Table(TITLE, *shown, level=0)


def list_entries(several: bool, here: Environment) -> Iterator[Entry]:
    """Yields the columns. `several` adds B and D, for cases of several sizes."""
    yield CELL, lambda r: label_cell(r.case)
    yield BACKEND, lambda r: r.case.backend
    sizes = SIZES if several else (SIZES[0], SIZES[3])
    yield from ((column, lambda r, name=column.name: getattr(r.case, name)) for column in sizes)
    yield Column("ms", "time", "ms", format_ms), lambda r: median_time(r).value
    yield Column("95% interval", parts=TIME, show=show_interval), lambda r: (median_time(r),)
    yield Column("samples", "samples"), lambda r: len(r.samples)
    yield Column("outliers", "outliers"), lambda r: len(find_outliers(r.samples)) or None
    yield make_word_column("stopped", "stopped because"), lambda r: r.stopped
    yield Column("sequences/s", "sequences_per_s", "", format_number), sequences_per_second
    yield Column("time steps/s", "time_steps_per_s", "", format_number), timesteps_per_second
    yield Column("cell updates/s", "cell_updates_per_s", "", format_number), updates_per_second
    yield Column("share of sgemm", "sgemm_share", "percent", format_share), lambda r: sgemm_share(r, here)
    yield Column("× lower bound", "time_over_lower_bound", "", format_lower_bound), lambda r: roofline.times_lower_bound(r, here)
    yield from list_conditions()
    yield from ((column, lambda r, k=k: list_errors(r)[k]) for k, column in enumerate(ERRORS))
    yield Column("build, s", "build", "s", format_number), lambda r: r.build_seconds


def list_conditions() -> Iterator[Entry]:
    """Yields the columns of other ways to run a call, and of the state of the device."""
    yield Column("cold, ms", "cold", "ms", format_ms), lambda r: find_median(r.cold)
    yield Column("graph, ms", "graph", "ms", format_ms), lambda r: find_median(r.graph) or r.no_graph or None
    host = Column("host, µs per step", "host_per_step", "us", lambda s: format_number(1e6 * s))
    yield host, lambda r: divide_by_steps(find_median(r.host), r)
    yield Column("launches per step", "launches_per_step", "", format_number), lambda r: divide_by_steps(r.launches, r)
    yield Column("J per step", "energy_per_step", "j", format_number), lambda r: divide_by_steps(r.energy, r)
    yield make_range_column("clock, MHz", "clock", "mhz", 1e-6), lambda r: find_range(r, lambda reading: reading.clock)
    yield make_range_column("memory clock, MHz", "memory_clock", "mhz", 1e-6), lambda r: find_range(r, lambda reading: reading.memory_clock)
    yield make_range_column("power, W", "power", "w"), lambda r: find_range(r, lambda reading: reading.power)
    yield make_range_column("°C", "temperature", "c"), lambda r: find_range(r, lambda reading: reading.temperature)
    yield make_word_column("throttled"), lambda r: ", ".join(sorted({word for reading in r.readings for word in reading.throttled}))


def show_interval(value: tuple[Any, ...]) -> str:
    (time,) = value
    return f"{format_ms(time.low)} to {format_ms(time.high)}" if time.bounded else "too few samples"


def divide_by_steps(value: float | None, record: CaseRecord) -> float | None:
    """Returns a value per time step."""
    return None if value is None else value / record.case.T


def make_range_column(header: str, name: str, unit: str, scale: float = 1.0) -> Column:
    def show(ends: tuple[float, float]) -> str:
        return " to ".join(dict.fromkeys(format_number(scale * end) for end in ends))

    return Column(header, show=show, parts=(Column("", f"{name}_low", unit), Column("", f"{name}_high", unit)))


def find_range(record: CaseRecord, part: Callable[[Reading], float | None]) -> tuple[float, float] | None:
    """Returns the lowest and highest of a value in the readings of a case, or None."""
    known = [value for reading in record.readings if (value := part(reading)) is not None]
    return (min(known), max(known)) if known else None

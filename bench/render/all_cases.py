"""Every timed case in a table of its own: a row for each, and a column for whatever is known of any."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from bench.analysis import roofline
from bench.analysis.median_ci import outliers
from bench.analysis.summary import seconds, sequences_per_second, sgemm_share, timesteps_per_second, updates_per_second
from bench.records import CaseRecord, Environment, Reading
from bench.render.formatting import NONE, faults, label, milliseconds, number, of_light
from bench.render.markdown import table

Column = tuple[str, Callable[[CaseRecord], str]]
"""A header, and what a case has there; "" is nothing."""

CAPTION = (
    "Per step: of one time step of the whole batch. Cold: before each call the caches were overwritten. Outliers lie beyond Tukey's fences "
    "(1.5 interquartile ranges out of the quartiles); they are counted, and stay in the median."
)


def every(cases: Sequence[CaseRecord], here: Environment) -> str:
    """Timed cases with their rates, conditions, and errors against float64. "" without any."""
    ordered = sorted(cases, key=lambda r: (r.case.T, r.case.cell, r.case.matched_params_of, r.case.backend, r.case.aa_repeat))
    several = len({r.case.B for r in cases}) > 1 or len({r.case.D for r in cases}) > 1
    found = [(header, [entry(record) for record in ordered]) for header, entry in columns(several, here)]
    shown = [(header, entries) for header, entries in found if any(entries)]
    rows = zip(*([entry or NONE for entry in entries] for _, entries in shown), strict=True)
    return table([header for header, _ in shown], rows, left=2)


def columns(several: bool, here: Environment) -> Iterator[Column]:
    yield "cell", lambda r: label(r.case)
    yield "backend", lambda r: r.case.backend
    yield "T", lambda r: str(r.case.T)
    if several:
        yield "B", lambda r: str(r.case.B)
        yield "D", lambda r: str(r.case.D)
    yield "H", lambda r: str(r.case.H)
    yield "ms", lambda r: milliseconds(seconds(r).value)
    yield "95% interval", spread
    yield "samples", lambda r: str(len(r.samples))
    yield "outliers", lambda r: str(len(found)) if (found := outliers(r.samples)) else ""
    yield "stopped", lambda r: r.stopped
    yield "sequences/s", lambda r: number(sequences_per_second(r))
    yield "time steps/s", lambda r: number(timesteps_per_second(r))
    yield "cell updates/s", lambda r: "" if (rate := updates_per_second(r)) is None else number(rate)
    yield "of sgemm", lambda r: "" if (share := sgemm_share(r, here)) is None else f"{share:.0%}"
    yield "× of light", lambda r: "" if (ratio := roofline.times_light(r, here)) is None else of_light(ratio)
    yield from conditions()
    yield "error of outputs", lambda r: faults(r)[0]
    yield "of the worst gradient", lambda r: faults(r)[1]
    yield "which is of", lambda r: faults(r)[2]
    yield "build s", lambda r: number(r.build_seconds)


def conditions() -> Iterator[Column]:
    """How else a call was run, and how the device was meanwhile."""
    yield "cold, ms", lambda r: median(r.cold, 1e3)
    yield "graph, ms", lambda r: median(r.graph, 1e3) or r.no_graph
    yield "host, µs per step", lambda r: median(r.host, 1e6 / r.case.T)
    yield "launches per step", lambda r: "" if r.launches is None else number(r.launches / r.case.T)
    yield "J per step", lambda r: "" if r.energy is None else number(r.energy / r.case.T)
    yield "clock, MHz", lambda r: reach(r, lambda reading: reading.clock, 1e-6)
    yield "memory clock, MHz", lambda r: reach(r, lambda reading: reading.memory_clock, 1e-6)
    yield "power, W", lambda r: reach(r, lambda reading: reading.power)
    yield "°C", lambda r: reach(r, lambda reading: reading.temperature)
    yield "throttled", lambda r: ", ".join(sorted({word for reading in r.readings for word in reading.throttled}))


def spread(record: CaseRecord) -> str:
    t = seconds(record)
    return f"{milliseconds(t.low)} to {milliseconds(t.high)}" if t.bounded else "too few samples"


def median(samples: Sequence[float], unit: float) -> str:
    """In the unit that there are `unit` of in the samples' own; "" without any."""
    ordered = sorted(samples)
    middle = (len(ordered) - 1) // 2, len(ordered) // 2
    return number(unit * sum(ordered[k] for k in middle) / 2) if samples else ""


def reach(record: CaseRecord, part: Callable[[Reading], float | None], unit: float = 1.0) -> str:
    """From the lowest of a part of a case's readings to the highest."""
    known: Iterable[float] = [value for reading in record.readings if (value := part(reading)) is not None]
    ends = dict.fromkeys(number(unit * end(known)) for end in (min, max)) if known else {}
    return " to ".join(ends)

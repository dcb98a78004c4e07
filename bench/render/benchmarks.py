"""A run as pytest-benchmark writes one, for its `compare` and for what else reads its files."""

import statistics
from collections.abc import Sequence
from typing import Any

from bench.analysis.median_ci import FENCE
from bench.analysis.summary import timed
from bench.records import Case, CaseRecord, Records

VERSION = "5.3.1"
"""Of pytest-benchmark, whose form this is."""

PASSING = {"constants", "sgemm_flops", "other_processes"}
"""What is measured of a machine, and so never twice the same: its info, by which it tells machines apart, is without."""

DYNAMICS = ("jacobians", "theory", "maps", "decays")


def document(records: Records) -> dict[str, Any]:
    """machine_info, commit_info, and in benchmarks the timed cases. `untimed` has every other one, with its status and reason,
    `gradients` the gradient norms, `dynamics` what else is known of signals, by kind, `ends` where the time went and `then` how the
    machine was, which that form has no place for."""
    run = records.run
    return {
        "machine_info": run.environment.model_dump(exclude={"commit", "dirty", *PASSING}),
        "commit_info": {"id": run.environment.commit, "dirty": run.environment.dirty},
        "benchmarks": [benchmark(record) for record in records.cases if timed(record)],
        "untimed": [{**named(record.case), "extra_info": extra(record)} for record in records.cases if not timed(record)],
        "gradients": [record.model_dump() for record in records.gradients],
        "dynamics": {kind: [record.model_dump() for record in getattr(records, kind)] for kind in DYNAMICS if getattr(records, kind)},
        "run": run.model_dump(include={"command", "seed", "settings", "schema_version"}),
        "then": run.environment.model_dump(include=PASSING),
        "ends": [end.model_dump() for end in records.ends],
        "datetime": run.started,
        "version": VERSION,
    }


def benchmark(record: CaseRecord) -> dict[str, Any]:
    return {**named(record.case), "extra_info": extra(record), "options": {}, "stats": {**summary(record.samples), "iterations": 1}}


def named(case: Case) -> dict[str, Any]:
    """Cases that are compared with each other are one group: its name is the same in every run."""
    inside = "with" if case.input_product else "without"
    control = " again" if case.aa_repeat else ""
    cell = f"{case.cell} for {case.matched_params_of}" if case.matched_params_of else case.cell
    size = f"T={case.T} B={case.B} D={case.D} H={case.H} {case.dtype} {case.precision}"
    return {
        "group": f"{case.mode} {inside} the input product, {size}",
        "name": f"{cell}[{case.backend}{control}]",
        "fullname": f"{case.mode} {inside} the input product::{cell}[{case.backend}{control} {size}]",
        "params": case.model_dump(),
        "param": f"{case.backend}{control}",
    }


def extra(record: CaseRecord) -> dict[str, Any]:
    """All that the record says besides its case and samples, and that is set."""
    return record.model_dump(exclude={"kind", "case", "samples"}, exclude_defaults=True) | {"status": record.status}


def summary(samples: Sequence[float]) -> dict[str, Any]:
    """Its statistics, by its definitions, which take quartiles otherwise than the tables here do."""
    data = sorted(samples)
    n, mean = len(data), statistics.mean(data)
    deviation = statistics.stdev(data) if n > 1 else 0.0
    q1, q3 = quartiles(data)
    low, high = q1 - FENCE * (q3 - q1), q3 + FENCE * (q3 - q1)
    inside = [x for x in data if low <= x <= high]
    far = sum(abs(x - mean) > deviation for x in data)
    total = sum(samples)
    return {
        "min": data[0], "max": data[-1], "mean": mean, "stddev": deviation, "rounds": n, "median": statistics.median(data),
        "iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": n - len(inside), "stddev_outliers": far, "outliers": f"{far};{n - len(inside)}",
        "ld15iqr": inside[0], "hd15iqr": inside[-1], "ops": n / total, "total": total, "data": list(samples),
    }  # fmt: skip


def quartiles(data: Sequence[float]) -> tuple[float, float]:
    """Of sorted samples: the medians of both halves or, of an odd number, the mean of those with the middle one and those without."""
    n = len(data)
    if n == 1:
        return data[0], data[0]
    half = n // 2
    if n % 2 == 0:
        return statistics.median(data[:half]), statistics.median(data[half:])
    without = statistics.median(data[:half]), statistics.median(data[half + 1 :])
    including = statistics.median(data[: half + 1]), statistics.median(data[half:])
    return (without[0] + including[0]) / 2, (without[1] + including[1]) / 2

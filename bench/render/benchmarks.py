"""Renders a run in the format of pytest-benchmark, for `pytest-benchmark compare` and other programs that read it."""

import statistics
from collections.abc import Sequence
from typing import Any

from bench.analysis.completeness import describe_unfinished
from bench.analysis.median_ci import FENCE
from bench.analysis.summary import is_timed
from bench.records import Case, CaseRecord, Records

VERSION = "5.3.1"
"""The version of pytest-benchmark whose format this is."""

PASSING = {"constants", "sgemm_flops", "other_processes"}
"""Fields of the environment that differ in every run. They are not part of machine_info, by which pytest-benchmark distinguishes
machines."""

DYNAMICS = ("jacobians", "theory", "maps", "decays", "parallel")


def build_document(records: Records) -> dict[str, Any]:
    """Returns a run as a pytest-benchmark document.

    Returns:
        machine_info, commit_info and, in "benchmarks", the timed cases. Further keys have what the format lacks: "untimed" has the other
            cases with status and reason, "gradients" and "dynamics" the records of signal studies, "unfinished" what is
            missing, "ends" the wall time by activity, "then" the state of the machine.
    """
    run = records.run
    return {
        "machine_info": run.environment.model_dump(exclude={"commit", "dirty", *PASSING}),
        "commit_info": {"id": run.environment.commit, "dirty": run.environment.dirty},
        "benchmarks": [describe_benchmark(record) for record in records.cases if is_timed(record)],
        "untimed": [{**name_case(record.case), "extra_info": list_extra_info(record)} for record in records.cases if not is_timed(record)],
        "gradients": [record.model_dump() for record in records.gradients],
        "dynamics": {kind: [record.model_dump() for record in getattr(records, kind)] for kind in DYNAMICS if getattr(records, kind)},
        "run": run.model_dump(include={"command", "seed", "settings", "schema_version"}),
        "then": run.environment.model_dump(include=PASSING),
        "unfinished": describe_unfinished(records),
        "ends": [end.model_dump() for end in records.ends],
        "datetime": run.started,
        "version": VERSION,
    }


def describe_benchmark(record: CaseRecord) -> dict[str, Any]:
    statistics_of = {**compute_statistics(record.samples), "iterations": 1}
    return {**name_case(record.case), "extra_info": list_extra_info(record), "options": {}, "stats": statistics_of}


def name_case(case: Case) -> dict[str, Any]:
    """Returns the names of a case. Cases that are compared share a group, whose name is the same in every run."""
    inside = "including" if case.input_product else "excluding"
    control = " again" if case.aa_repeat else ""
    cell = f"{case.cell} for {case.matched_params_of}" if case.matched_params_of else case.cell
    size = f"T={case.T} B={case.B} D={case.D} H={case.H} {case.dtype} {case.precision}"
    return {
        "group": f"{case.mode} {inside} the input projection, {size}",
        "name": f"{cell}[{case.backend}{control}]",
        "fullname": f"{case.mode} {inside} the input projection::{cell}[{case.backend}{control} {size}]",
        "params": case.model_dump(),
        "param": f"{case.backend}{control}",
    }


def list_extra_info(record: CaseRecord) -> dict[str, Any]:
    """Returns all fields of a record that are set, except case and samples."""
    return record.model_dump(exclude={"kind", "case", "samples"}, exclude_defaults=True) | {"status": record.status}


def compute_statistics(samples: Sequence[float]) -> dict[str, Any]:
    """Returns the statistics of pytest-benchmark for one or more samples in seconds. Its quartiles differ from those of the tables here."""
    data = sorted(samples)
    n, mean = len(data), statistics.mean(data)
    deviation = statistics.stdev(data) if n > 1 else 0.0
    q1, q3 = compute_quartiles(data)
    low, high = q1 - FENCE * (q3 - q1), q3 + FENCE * (q3 - q1)
    inside = [x for x in data if low <= x <= high]
    far = sum(abs(x - mean) > deviation for x in data)
    total = sum(samples)
    return {
        "min": data[0], "max": data[-1], "mean": mean, "stddev": deviation, "rounds": n, "median": statistics.median(data),
        "iqr": q3 - q1, "q1": q1, "q3": q3, "iqr_outliers": n - len(inside), "stddev_outliers": far, "outliers": f"{far};{n - len(inside)}",
        "ld15iqr": inside[0], "hd15iqr": inside[-1], "ops": n / total, "total": total, "data": list(samples),
    }  # fmt: skip


def compute_quartiles(data: Sequence[float]) -> tuple[float, float]:
    """Returns the quartiles of sorted samples: the medians of both halves. With an odd number, the mean of the result without the middle
    sample and of the one with it."""
    n, half = len(data), len(data) // 2
    cuts = [half] if n % 2 == 0 else [half, half + 1]  # without the middle sample, then with it in both halves
    parts = [(data[:cut], data[n - cut :]) for cut in cuts if cut]
    q1, q3 = (statistics.fmean(statistics.median(part[k]) for part in parts) for k in (0, 1))
    return q1, q3

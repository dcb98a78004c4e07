"""Lists the cases of a run as rows of plain data, in seconds, joules, bytes and counts without prefixes."""

import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.analysis.median_ci import find_outliers
from bench.analysis.summary import CaseIndex, find_peers, is_timed, median_time
from bench.analysis.verdict import Noise, Speed, compare_cases, measure_noise
from bench.records import CaseRecord, Records


def list_case_rows(records: Records) -> list[dict[str, Any]]:
    """Returns a row per case, including A/A repeats."""
    cases = CaseIndex.from_records(records.cases)
    noise = measure_noise(records.cases)
    return [make_case_row(record, cases, noise) for record in records.cases]


def make_case_row(record: CaseRecord, cases: CaseIndex, noise: Noise) -> dict[str, Any]:
    case, known = record.case, is_timed(record)
    peer = find_peers(cases, case).first if known and case.backend != "vendor" and not case.aa_repeat else None
    t = median_time(record) if known else None
    errors, memory = record.errors, record.memory
    return {
        **case.model_dump(),
        "status": record.status, "reason": record.reason,
        "samples": len(record.samples), "outliers": len(find_outliers(record.samples)), "stopped": record.stopped,
        "median_s": t and t.value, "low_s": t.low if t and t.bounded else None, "high_s": t.high if t and t.bounded else None,
        "peer": f"{peer.case.backend} {peer.case.cell}" if peer else "",
        **list_speed_fields(compare_cases(record, peer, noise) if peer else None),
        "output_error": errors and errors.output, "gradient_error": errors and errors.gradient, "worst_gradient": errors and errors.worst,
        "cold_s": find_median(record.cold), "graph_s": find_median(record.graph), "host_s": find_median(record.host),
        "launches": record.launches, "energy_j": record.energy,
        "throttled": " ".join(sorted({word for reading in record.readings for word in reading.throttled})),
        "build_s": record.build_seconds, "weights_bytes": memory and memory.weights, "saved_bytes": memory and memory.saved,
        "peak_bytes": memory and memory.peak, "parameters": record.parameters, "layer_parameters": record.layer_parameters or None,
        "flops_per_step": record.flops,
        "expected_algorithm": record.algorithm,
    }  # fmt: skip


def list_speed_fields(speed: Speed | None) -> dict[str, Any]:
    """Returns the fields of a speed: ratio, interval if bounded, and verdict."""
    ratio = speed.ratio if speed else None
    bounded = ratio is not None and math.isfinite(ratio.high)
    return {
        "speed": ratio and ratio.value, "speed_low": ratio.low if ratio and bounded else None,
        "speed_high": ratio.high if ratio and bounded else None, "verdict": speed.verdict if speed else "",
    }  # fmt: skip


def find_median(samples: Sequence[float]) -> float | None:
    """Returns the median, or None without samples."""
    return median(samples) if samples else None

"""The cases of a run as rows of plain data, and rows as CSV. Seconds, joules, bytes and counts, without prefixes."""

import csv
import io
import math
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.analysis.median_ci import outliers
from bench.analysis.summary import peers, seconds, timed
from bench.analysis.verdict import Speed, compared, noise
from bench.records import Case, CaseRecord, Records


def to_csv(rows: Sequence[dict[str, Any]]) -> str:
    """A header, then a line for each row; empty is what isn't known."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def rows(records: Records) -> list[dict[str, Any]]:
    """A row for each case, controls too."""
    cases = {record.case: record for record in records.cases}
    margin = noise(records.cases).margin
    return [row(record, cases, margin) for record in records.cases]


def row(record: CaseRecord, cases: dict[Case, CaseRecord], margin: float) -> dict[str, Any]:
    case, known = record.case, timed(record)
    peer = peers(cases, case).first if known and case.backend != "vendor" and not case.aa_repeat else None
    t = seconds(record) if known else None
    errors, memory = record.errors, record.memory
    return {
        **case.model_dump(),
        "status": record.status, "reason": record.reason,
        "samples": len(record.samples), "outliers": len(outliers(record.samples)), "stopped": record.stopped,
        "median_s": t and t.value, "low_s": t.low if t and t.bounded else None, "high_s": t.high if t and t.bounded else None,
        "peer": f"{peer.case.backend} {peer.case.cell}" if peer else "",
        **spelled(compared(record, peer, margin) if peer else None),
        "output_error": errors and errors.output, "gradient_error": errors and errors.gradient, "worst_gradient": errors and errors.worst,
        "cold_s": middle(record.cold), "graph_s": middle(record.graph), "host_s": middle(record.host),
        "launches": record.launches, "energy_j": record.energy,
        "throttled": " ".join(sorted({word for reading in record.readings for word in reading.throttled})),
        "build_s": record.build_seconds, "weights_bytes": memory and memory.weights, "saved_bytes": memory and memory.saved,
        "peak_bytes": memory and memory.peak, "parameters": record.parameters, "flops_per_step": record.flops,
        "expected_algorithm": record.algorithm,
    }  # fmt: skip


def spelled(speed: Speed | None) -> dict[str, Any]:
    """A speed with its interval, where there is one, and its verdict."""
    ratio = speed.ratio if speed else None
    bounded = ratio is not None and math.isfinite(ratio.high)
    return {
        "speed": ratio and ratio.value, "speed_low": ratio.low if ratio and bounded else None,
        "speed_high": ratio.high if ratio and bounded else None, "verdict": speed.verdict if speed else "",
    }  # fmt: skip


def middle(samples: Sequence[float]) -> float | None:
    return median(samples) if samples else None

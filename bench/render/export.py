"""A run as JSON, CSV or Markdown on stdout. Seconds, joules, bytes and counts, without prefixes."""

import csv
import io
import math
import os
import sys
from collections.abc import Sequence
from statistics import median
from typing import Any

from pydantic_core import to_json as serialised

from bench.estimate import outliers
from bench.forms import Form
from bench.records import Case, CaseRecord, Records
from bench.render import benchmarks, report
from bench.render.console import tables
from bench.render.terminal import terminal
from bench.settings import SettingsError
from bench.summary import peers, seconds, timed
from bench.verdict import Speed, compared, noise


def show(records: Records, form: Form) -> None:
    """Write a run to stdout: its tables, or its data in a form of `bench.forms`. Raises SettingsError where stdout can't be written, and
    BrokenPipeError where nobody reads on."""
    if sys.stdout is None:
        raise SettingsError("stdout is closed: give it somewhere to go")
    try:
        put_all(records, form)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is left in the old one would be tried again at the end
        raise SettingsError(f"stdout can't be written ({error.strerror}): send it elsewhere") from None


def put_all(records: Records, form: Form) -> None:
    if form == "json":
        put(to_json(benchmarks.document(records)))
    elif form == "csv":
        put(to_csv(rows(records)))
    elif form == "md":
        put(report.render(records, []))
    else:
        out = terminal()
        for table in tables(records):
            out.print(table)


def put(words: str) -> None:
    sys.stdout.write(words)


def to_json(document: Any) -> str:
    """What isn't finite is the word "NaN" or "Infinity": JSON has no such numbers."""
    return serialised(document, indent=2, inf_nan_mode="strings").decode() + "\n"


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
    peer = peers(cases, case).first if known and case.backend != "vendor" and not case.control else None
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

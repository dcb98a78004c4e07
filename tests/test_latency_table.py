"""The table of latencies: of cases with enough calls, in microseconds, and beside a stream of audio."""

import pytest

from bench.records import CaseRecord
from bench.render.latency_table import FEWEST, make_latency_table
from bench.render.table import write_markdown
from tests.records import case


def record(calls: int, mode: str = "inference", backend: str = "jax") -> CaseRecord:
    """All calls take 100 µs but for the slowest 2%, which take a millisecond."""
    slow = calls // 50
    samples = [1e-4] * (calls - slow) + [1e-3] * slow
    return CaseRecord(case=case(backend=backend, mode=mode, T=16), status="ok", samples=samples, rounds=[*range(calls)], builds=[0] * calls)


def test_median_tail_and_stream():
    (row,) = make_latency_table([record(FEWEST + 20)]).rows
    assert row[4] == "jax" and row[5:7] == pytest.approx([1e-4, 1e-3]) and row[7] == pytest.approx(16 / 48_000 / 1e-4)
    text = write_markdown(make_latency_table([record(FEWEST + 20)]))
    assert "99th percentile, µs" in text and "1,000" in text and "3.33" in text


def test_what_has_no_tail():
    assert make_latency_table([record(FEWEST - 1), record(FEWEST, "training")]).rows == []
    precomputed = record(FEWEST).model_copy(update={"case": case(backend="jax", mode="inference", input_product=False)})
    assert make_latency_table([precomputed]).rows == []


def test_backends_in_the_order_of_the_tables():
    found = make_latency_table([record(FEWEST, backend=name) for name in ("jax", "vendor", "onnxruntime")]).rows
    assert [row[4] for row in found] == ["vendor", "onnxruntime", "jax"]

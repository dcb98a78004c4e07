"""Records are held to the largest allowed error when they are read."""

import math

import pytest

from bench.analysis.summary import is_timed
from bench.records import Errors, Records, read_records
from bench.records.tolerance import find_tolerance
from bench.render import run_report
from tests.records import RUN, case, lines, records, timed
from tests.test_training_metrics import record


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16", "bfloat16"])
@pytest.mark.parametrize(("output", "gradient"), [(1.01, 0.0), (0.0, 1.01), (math.nan, 0.0), (0.0, math.inf), (0.99, 0.99)])
def test_an_ok_whose_error_is_too_large_is_incorrect(tmp_path, dtype, output, gradient):
    allowed = find_tolerance(dtype, "ieee")
    given = timed(case(dtype=dtype), *[1.0] * 6, errors=Errors(output=output * allowed, gradient=gradient * allowed, worst="W.uh"))
    (tmp_path / "records.jsonl").write_text(lines(Records.model_construct(run=RUN, cases=[given], gradients=[], ends=[])))
    (found,) = read_records(tmp_path).cases
    within = output < 1 and gradient < 1
    assert is_timed(found) == within and (found.status == "ok") == within
    assert within or f"allowed is {allowed:.0e}; it is recorded as ok" in found.reason


def test_the_report_shows_it_without_a_speed():
    wrong = timed(case(), *[1.0] * 6, errors=Errors(output=0.0, gradient=0.06, worst="x"))
    text = run_report.render_report(records(wrong, timed(case(backend="vendor"), *[2.0] * 6)), [])
    assert "1 ok, 1 incorrect" in text and "the gradient of x is off by 6.0e-02 of the largest" in text and "2.00×" not in text


def test_a_training_of_a_wrong_layer_has_no_result():
    text = run_report.render_report(Records(run=RUN, cases=[], gradients=[], training=[record("gru", error=1e-3)]), [])
    assert "the error of the layer exceeds its tolerance" in text and "no cell ended with a finite value" in text

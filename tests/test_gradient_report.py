"""The report on gradients: where one is lost, where it underflows, and its picture."""

import math

import pytest

from bench.analysis.mean_ci import mean_ci
from bench.analysis.summary import fit_growth
from bench.records import GradientRecord
from bench.render import gradient_report as gradients_report
from bench.render.table import write_table
from tests.records import gradient


def test_where_a_gradient_is_lost():
    record = GradientRecord(
        cell="lstm", T=4, B=1, D=1, H=1, dtype="bfloat16", seed=0, loss="L", by_lag=[1.0, 0.5, 0.25, 0.0], lags=[0, 1, 2, 4],
        errors=[0.0, 0.01, 0.7, 1.0], parameters={"W.uh": 0.5}, backend="eager", init="default",
    )  # fmt: skip
    exact = record.model_copy(update={"dtype": "float32", "errors": [0.0, 1e-7, 1e-7, 1e-7], "by_lag": [1.0, 0.5, 0.25, 0.0625]})
    rows = write_table(gradients_report.make_error_table([record, exact])).splitlines()
    assert [cell.strip() for cell in rows[2].split("|")[5:-1]] == ["1.0e-02", "1.0e+00", "2", "4"]
    assert [cell.strip() for cell in rows[3].split("|")[5:-1]] == ["1.0e-07", "1.0e-07", "–", "–"]
    assert "-0.6931" in write_table(gradients_report.make_flow_table([exact], True, ""))  # by 2 in each step


def test_what_no_number_of_a_dtype_tells_underflows():
    """Of a gradient that stays where float32 rounds it to, and is nothing in float64: neither a norm nor a finite error."""
    stays = GradientRecord(
        cell="cfn", T=300, B=1, D=1, H=1, dtype="float32", seed=0, loss="L", by_lag=[1.0, 1e-20, 2e-45, 2e-45], lags=[0, 16, 256, 300],
        errors=[0.0, 1e-6, 0.3, math.inf], parameters={}, backend="compiled", init="default",
    )  # fmt: skip
    gone = stays.model_copy(update={"cell": "gru", "by_lag": [1.0, 1e-20, 0.0, 0.0], "errors": [0.0, 1e-6, 1.0, 0.0]})
    rows = write_table(gradients_report.make_error_table([stays, gone])).splitlines()
    assert "error at lag 16 | " in rows[0] and "at lag 128" not in rows[0]
    assert [cell.strip() for cell in rows[2].split("|")[5:-1]] == ["1.0e-06", "infinite", "300", "256"]
    assert [cell.strip() for cell in rows[3].split("|")[5:-1]] == ["1.0e-06", "–", "256", "256"]
    flow = write_table(gradients_report.make_flow_table([stays], True, ""))
    assert "below 1.2e-38" in flow and "-2.8782" in flow


def test_a_column_of_the_picture_for_every_initialisation(tmp_path):
    record = GradientRecord(
        cell="lstm", T=70, B=1, D=1, H=1, dtype="float32", seed=0, loss="L", by_lag=[1.0, 0.5, 0.25], lags=[0, 1, 70],
        errors=[0.0, 1e-7, math.inf], parameters={}, backend="eager", init="default",
    )  # fmt: skip
    others = [{"init": "critical", "cell": "minimal"}, {"dtype": "bfloat16"}, {"T": 5, "init": "never"}, {"seed": 1, "by_lag": [0.0] * 3}]
    (path,) = gradients_report.draw([record, *(record.model_copy(update=change) for change in others)], tmp_path)
    text = path.read_text()
    assert all(f">{words}</text>" in text for words in ("critical", "default", "lstm", "minimal", "error against float64"))
    assert ">never</text>" not in text and "dotted bfloat16; below, its error" in text
    plain = record.model_copy(update={"errors": [], "T": 2, "lags": [0, 1, 2]})
    assert "error against float64" not in gradients_report.draw([plain], tmp_path)[0].read_text()


@pytest.mark.parametrize(("norms", "said"), [([2.0, 2.2], "exploding"), ([0.5, 0.45], "vanishing"), ([1.1, 0.9], "neither")])
def test_rates_are_named_by_their_interval(norms, said):
    records = [
        gradient("gru", 3).model_copy(update={"by_lag": [norm**k for k in range(4)], "seed": seed}) for seed, norm in enumerate(norms)
    ]
    growth = gradients_report.name_growth(mean_ci([fit_growth(record) for record in records]))
    assert growth.endswith(said) and " ± " in growth
    assert "," not in gradients_report.name_growth(mean_ci([fit_growth(records[0])]))

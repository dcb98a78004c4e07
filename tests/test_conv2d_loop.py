"""The loop of torch's conv2d that waves are compared with."""

import pytest
import torch

from bench.measure import gate
from bench.measure.backends import Unsupported, build_workload
from bench.measure.problem import make_problem


@pytest.mark.parametrize("sizes", [{"T": 6, "B": 3, "D": 5, "H": 36}, {"T": 1, "B": 1, "D": 1, "H": 17}], ids=str)
def test_the_conv2d_loop_computes_waves(sizes):
    """Held to the reference like any backend; its error is that of float32."""
    given = make_problem("wave", **sizes, dtype="float32", device="cpu", seed=1)
    errors, wrong = gate.compare_answer(given, build_workload("conv2d", given).answer(), 1e-5)
    assert wrong == "" and errors.output < 1e-6


def test_and_nothing_else():
    with pytest.raises(Unsupported, match="is a loop for the cell wave alone"):
        build_workload("conv2d", make_problem("minimal", 2, 1, 3, 4, "float32", "cpu", 0))


def test_the_peer_is_as_the_paper_runs_it():
    """One convolution a step, its kernel the five-point stencil; nothing of what no step changes is computed again."""
    given = make_problem("wave", 5, 2, 1, 16, "float32", "cpu", 0)
    made = build_workload("conv2d", given)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as seen:
        made.infer()
    counts = {event.key: event.count for event in seen.key_averages()}
    assert counts["aten::conv2d"] == 5 and counts["aten::sigmoid"] == 1

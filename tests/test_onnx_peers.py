"""The models of cells in ONNX Runtime and OpenVINO: their outputs are the equations', where a model can be written."""

import pytest

import cells
from bench.measure.backends import Unsupported, build_workload
from bench.measure.gate import compare_outputs
from bench.measure.onnx_peers import build_onnxruntime, build_openvino
from bench.measure.problem import Answer, Problem, make_problem
from kernels.derive.plan import plan
from tests.sampling import each_kind

BUILD = {"onnxruntime": build_onnxruntime, "openvino": build_openvino}


def given(cell: str, dtype: str = "float32") -> Problem:
    made = plan(cells.load(cell))
    H = made.fixed_width or plan(cells.load(cell)).round_up_width(6)
    return make_problem(cell, 4, 3, H if made.elementwise_input else 5, H, dtype, "cpu", 0)


@each_kind([name for name in cells.names() if not plan(cells.load(name)).stencil_inputs])
def test_every_cell_in_onnx_runtime(name):
    """With inputs that are rolled after it was built, as the check after the timing rolls them."""
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    p = given(name)
    work = build_onnxruntime(p)
    assert compare_outputs(p, work.answer(), 1e-5)[1] == ""
    work.roll_batch(1)
    assert (work.infer().roll(-1, 1) - p.answer.outputs[0]).abs().max() < 1e-5


@pytest.mark.parametrize("cell", ["lstm", "gru", "vanilla_relu", "minimal"])
def test_openvino(cell):
    pytest.importorskip("onnx")
    pytest.importorskip("openvino")
    p = given(cell)
    assert compare_outputs(p, build_openvino(p).answer(), 1e-5)[1] == ""


def test_outputs_are_new_in_each_call():
    pytest.importorskip("onnx")
    for name, build in BUILD.items():
        pytest.importorskip(name)
        first, second = (build(given("lstm")).infer() for _ in range(2))
        assert first.data_ptr() != second.data_ptr()
        work = build(given("lstm"))
        before = work.infer()
        kept = before.clone()
        work.roll_batch(1)
        work.infer()
        assert before.equal(kept), name


def test_what_has_no_model():
    pytest.importorskip("onnxruntime")
    with pytest.raises(Unsupported, match="read their neighbours"):
        build_onnxruntime(given("wave"))
    with pytest.raises(Unsupported, match="takes float32"):
        build_onnxruntime(given("lstm", "bfloat16"))


def test_outputs_alone():
    """A backend without gradients is checked by its outputs, and its error reads like that of one with gradients."""
    p = given("lstm")
    right = build_workload("eager", p).answer()
    y, *final = right.outputs
    assert compare_outputs(p, Answer(right.outputs, {}), 1e-5)[1] == ""
    assert "outputs are off by" in compare_outputs(p, Answer([y, *(1.1 * f for f in final)], {}), 1e-5)[1]
    assert "of float64" in compare_outputs(p, Answer([y.double(), *final], {}), 1e-5)[1]

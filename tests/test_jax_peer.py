"""A cell in JAX: outputs and all gradients are those of the equations. It compiles, so one case stands for all here."""

import pytest

from bench.measure.gate import compare_answer
from tests.sampling import in_full
from tests.test_onnx_peers import given


@pytest.mark.parametrize("cell", ["mgu", in_full("slstm"), in_full("wave")])
def test_outputs_and_gradients(cell):
    pytest.importorskip("jax")
    from bench.measure.jax_peer import build_jax

    p = given(cell)
    work = build_jax(p)
    assert compare_answer(p, work.answer(), 1e-5)[1] == ""
    assert [tuple(t.shape) for t in work.train()[:1]] == [tuple(p.x.shape)]

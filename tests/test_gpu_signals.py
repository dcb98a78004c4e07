"""Dynamics on a GPU: gradients, Jacobians and exponents by its kernels, against the equations in float64."""

from collections.abc import Iterator

import pytest
import torch

from bench.measure.backends import make_layer
from bench.measure.problem import Problem, make_problem
from bench.studies.signals import chaos, gradient_norms, jacobians, lyapunov
from bench.studies.signals.chaotic_maps import MAPS
from bench.studies.signals.chunked_vjp import ChunkedVJP
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer.select import SCHEDULES

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
CELLS = pytest.mark.parametrize("cell", ["minimal", "cfn", "gru", "gru_reset_before", "lstm"])
BACKENDS = pytest.mark.parametrize("backend", ["stepwise", "persistent"])
NEAR = 1e-4
"""Of gradients in float32 after tens of steps, each of which rounds: some 1e-6 a step at the least favourable."""


@pytest.fixture(autouse=True)
def ieee() -> Iterator[None]:
    """float32 products in float32."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = False
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


def run(given: Problem, backend: str, lags: list[int]) -> list[list[torch.Tensor]]:
    reason = SCHEDULES[backend].unsupported_reason(plan(given.cell), given.dtype, given.device, given.B, given.H)
    if reason:
        pytest.skip(reason)
    upstream = [given.dy[-1], *(torch.zeros_like(s) for s in given.states[1:])]
    return [link.states for link in ChunkedVJP(make_layer(backend, given), given.x, given.states, upstream, lags).pull_back()]


@CELLS
@BACKENDS
def test_gradients_on_the_way_back(cell, backend):
    """Stretches of 1, 2, 30 and 7 steps."""
    given, lags = make_problem(cell, 40, 16, 32, 64, "float32", "cuda", 0), [0, 1, 3, 33, 40]
    exact = make_problem(cell, 40, 16, 32, 64, "float32", "cpu", 0)
    double = ChunkedVJP(
        make_layer("eager", exact, torch.float64), exact.x.double(), [s.double() for s in exact.states],
        [exact.dy[-1].double(), *(torch.zeros_like(s).double() for s in exact.states[1:])], lags,
    )  # fmt: skip
    for found, link in zip(run(given, backend, lags), double.pull_back(), strict=True):
        for one, other in zip(found, link.states, strict=True):
            assert (one.cpu().double() - other).norm() <= NEAR * other.norm()


@CELLS
def test_the_study_of_gradients_compares_with_float64(cell):
    """As `bench gradients` does: float32 stays close for as long as there is something left, bfloat16 is off by a few percent."""
    for dtype, close in (("float32", NEAR), ("bfloat16", 0.3)):
        found = gradient_norms.measure_gradients(make_problem(cell, 90, 16, 64, 64, dtype, "cuda", 0), compare=True)
        assert found.backend in ("stepwise", "persistent") and found.non_finite == 0 and found.lags[-1] == 90
        assert max(error for error, lag in zip(found.errors, found.lags, strict=True) if lag <= 16) < close
        assert found.by_lag[0] > found.by_lag[-1] > 0


@CELLS
def test_jacobians_are_those_of_a_processor(cell):
    on_gpu = jacobians.measure_jacobians(make_problem(cell, 20, 1, 16, 16, "float32", "cuda", 1))
    exact = jacobians.measure_jacobians(make_problem(cell, 20, 1, 16, 16, "float32", "cpu", 1), backend="eager")
    assert (on_gpu.latent is None) == (exact.latent is None) == (cell != "minimal")
    for one, other in ((on_gpu.state, exact.state), (on_gpu.input, exact.input), (on_gpu.latent, exact.latent)):
        if one and other:
            assert one.mean_square == pytest.approx(other.mean_square, rel=1e-3)
            for values, expected in zip(one.values, other.values, strict=True):
                assert values == pytest.approx(expected, abs=1e-4 * expected[0])


@pytest.mark.parametrize("map", MAPS, ids=lambda m: m.name)
def test_both_maps_are_chaotic(map):
    """By the equations in float64 on the device, 200 points over 180 steps: a standard error of 0.42/√36000 = 0.002, and angles at the
    ends worth a nat in 180 steps."""
    rnn, generator = map.make_layer("eager", "cuda"), torch.Generator().manual_seed(0)
    begun = [s.cuda() for s in map.states(200, generator)]
    found = lyapunov.measure_exponents(rnn, lyapunov.advance(rnn, begun, 100), 200, generator)
    assert found.mean().item() == pytest.approx(0.219, abs=0.014)


def test_cfn_and_minimal_come_to_rest():
    """Without input, on the kernels that a GPU takes."""
    for cell in ("cfn", "minimal"):
        torch.manual_seed(0)
        rnn = RNN(cell, 64, 64, device="cuda")
        begun = [torch.randn(16, 64, device="cuda")]
        (last,) = lyapunov.advance(rnn, begun, 400)
        rest = torch.zeros(64, device="cuda") if cell == "cfn" else torch.tanh(rnn.weights()["b.z"])
        assert (last - rest).abs().max() < 1e-5
        assert chaos.state_distance([last[:2]]) < 1e-5

"""Singular values against autograd's own Jacobians."""

import pytest
import torch

from bench.dynamics import jacobian
from bench.measure.problem import problem


def written_out(given, lag: int, of: str) -> torch.Tensor:
    """∂s_T/∂s_{T-lag}, or ∂h_T/∂x_{T-lag}, by torch.autograd.functional."""
    T, x = given.T, given.x[:, :1]
    _, states = given.cell.unroll(x[: T - lag], [s[:1] for s in given.states], given.weights)

    def last(*states):
        return torch.cat(given.cell.unroll(x[T - lag :], states, given.weights)[1], 1).squeeze(0)

    def output(x_t):
        inputs = torch.cat([x[: T - lag - 1], x_t[None], x[T - lag :]])
        return given.cell.unroll(inputs, [s[:1] for s in given.states], given.weights)[1][0].squeeze(0)

    if of == "input":
        return torch.autograd.functional.jacobian(output, x[T - lag - 1]).squeeze(1)
    return torch.cat([j.squeeze(1) for j in torch.autograd.functional.jacobian(last, tuple(states))], 1)


@pytest.mark.parametrize(("cell", "H", "D"), [("lstm", 3, 5), ("gru", 5, 3), ("minimal", 4, 4), ("cfn", 1, 1)])
def test_all_singular_values(cell, H, D):
    given = problem(cell, 9, 2, D, H, "float64", "cpu", 2)
    found = jacobian.measure(given)
    assert found.lags == [0, 1, 2, 4, 8, 9] and found.probes == 0
    for i, lag in enumerate(found.lags):
        pairs = [(found.state, written_out(given, lag, "state"))] if lag else []
        pairs += [(found.input, written_out(given, lag, "input"))] if lag < given.T else []
        for spectrum, J in pairs:
            values = torch.linalg.svdvals(J)
            assert (torch.tensor(spectrum.values[i], dtype=J.dtype) - values).abs().max() < 1e-12 * values[0] + 1e-18
            assert spectrum.mean_square[i] == pytest.approx(values.square().mean().item(), rel=1e-10)
    assert set(found.state.values[0]) == {1.0}


def test_products_stand_in_for_what_is_too_large(monkeypatch):
    given = problem("lstm", 5, 1, 12, 12, "float64", "cpu", 0)
    whole = jacobian.measure(given)
    monkeypatch.setattr(jacobian, "ROWS", 8)
    monkeypatch.setattr(jacobian, "PROBES", 4000)
    estimated = jacobian.measure(given)
    assert estimated.probes == 4000 and not estimated.state.values and not estimated.input.values
    for one, other in ((whole.state, estimated.state), (whole.input, estimated.input)):
        # Each product has a relative standard error of at most √(2/4000) = 2.2%.
        assert estimated.lags == whole.lags and one.mean_square == pytest.approx(other.mean_square, rel=0.09)


def test_what_is_not_finite_has_no_spectrum():
    given = problem("vanilla_relu", 40, 1, 4, 4, "float32", "cpu", 0)
    given.weights["W.hh"].copy_(1e3 * torch.ones(4, 4))
    found = jacobian.measure(given)
    assert found.state.values[-1] == [] and found.state.values[0]

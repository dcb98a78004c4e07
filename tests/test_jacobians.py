"""Singular values against autograd's own Jacobians."""

import pytest
import torch

import cells
from bench.measure.problem import make_problem
from bench.studies.signals import jacobians
from bench.studies.signals.input_latent import find_latent
from cells.grammar.cell import Cell
from cells.grammar.functions import prev, sigmoid, tanh, where
from kernels.derive.plan import plan


def written_out(given, lag: int, of: str) -> torch.Tensor:
    """∂s_T/∂s_{T-lag}, or ∂h_T/∂x_{T-lag}, by torch.autograd.functional."""
    T, x = given.T, given.x[:, :1]
    _, states = given.cell.unroll(x[: T - lag], [s[:1] for s in given.states], given.weights)

    def last(*states):
        before = x[T - lag - 1] if lag < T else None
        return torch.cat(given.cell.unroll(x[T - lag :], states, given.weights, before)[1], 1).squeeze(0)

    def output(x_t):
        inputs = torch.cat([x[: T - lag - 1], x_t[None], x[T - lag :]])
        return given.cell.unroll(inputs, [s[:1] for s in given.states], given.weights)[1][0].squeeze(0)

    if of == "input":
        return torch.autograd.functional.jacobian(output, x[T - lag - 1]).squeeze(1)
    return torch.cat([j.squeeze(1) for j in torch.autograd.functional.jacobian(last, tuple(states))], 1)


@pytest.mark.parametrize(("cell", "H", "D"), [("lstm", 3, 5), ("gru", 5, 3), ("minimal", 4, 4), ("cfn", 1, 1), ("qrnn", 4, 3)])
def test_all_singular_values(cell, H, D):
    given = make_problem(cell, 9, 2, D, H, "float64", "cpu", 2)
    found = jacobians.measure_jacobians(given)
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
    given = make_problem("lstm", 5, 1, 12, 12, "float64", "cpu", 0)
    whole = jacobians.measure_jacobians(given)
    monkeypatch.setattr(jacobians, "ROWS", 8)
    monkeypatch.setattr(jacobians, "PROBES", 4000)
    estimated = jacobians.measure_jacobians(given)
    assert estimated.probes == 4000 and not estimated.state.values and not estimated.input.values
    for one, other in ((whole.state, estimated.state), (whole.input, estimated.input)):
        # Each product has a relative standard error of at most √(2/4000) = 2.2%.
        assert estimated.lags == whole.lags and one.mean_square == pytest.approx(other.mean_square, rel=0.09)


def test_what_is_not_finite_has_no_spectrum():
    given = make_problem("vanilla_relu", 40, 1, 4, 4, "float32", "cpu", 0)
    given.weights["W.hh"].copy_(1e3 * torch.ones(4, 4))
    found = jacobians.measure_jacobians(given)
    assert found.state.values[-1] == [] and found.state.values[0]


def test_by_the_latent_value_as_the_paper_of_minimal_has_it():
    """∂h_T/∂z_{T-k} = ∏ (D(u_i) + D((h_{i-1} - z_i) u_i (1 - u_i)) U_h) · (D(1 - u) + D((h - z) u (1 - u)) U_z), i from T-k+1 to T."""
    given = make_problem("minimal", 9, 1, 3, 4, "float64", "cpu", 2)
    found, w, h = jacobians.measure_jacobians(given), given.weights, given.states[0][0]
    outer, inner = [], []
    for x in given.x[:, 0]:
        z = torch.tanh(w["W.z"] @ x + w["b.z"])
        u = torch.sigmoid(w["W.uh"] @ h + w["W.uz"] @ z + w["b.u"])
        slope = torch.diag((h - z) * u * (1 - u))
        outer.append(torch.diag(u) + slope @ w["W.uh"])
        inner.append(torch.diag(1 - u) + slope @ w["W.uz"])
        h = u * h + (1 - u) * z
    assert found.latent is not None and len(found.latent.values) == len(found.lags) - 1
    for values, lag in zip(found.latent.values, found.lags, strict=False):
        J = inner[-1 - lag]
        for step in outer[len(outer) - lag :]:
            J = step @ J
        expected = torch.linalg.svdvals(J)
        assert (torch.tensor(values, dtype=J.dtype) - expected).abs().max() < 1e-12 * expected[0]


@pytest.mark.parametrize(
    ("cell", "name"), [("minimal", "z"), ("minimal_deep", "z"), *((c, None) for c in ("vanilla", "lstm", "gru", "cfn"))]
)
def test_which_cells_have_a_latent_value(cell, name):
    """CFN's input comes in by its gates, too; what a matrix makes of x is no value of its own."""
    found = find_latent(plan(cells.load(cell)))
    assert (None if found is None else found.name) == name


def test_the_latent_value_of_a_cell_of_one_s_own():
    def shared(h, x, W):
        first = tanh(W.a(x))
        last = sigmoid(W.b(first) * first)
        return where(h > 0, last * h, tanh(W.u(h) + last))

    def beside(h, x, W):
        first = tanh(W.a(x))
        return tanh(W.u(h) + first) * sigmoid(W.v(x))

    def mixed(h, x, W):
        return tanh(W.u(h + tanh(W.a(x))) + sigmoid(W.b(h) + W.c(tanh(W.a(x)))))

    def late(h, x, W):
        return tanh(W.u(h) + tanh(W.a(x) + W.b(prev(x))))

    def handed(h, x, W):
        return tanh(W.a(x))

    found = [find_latent(plan(Cell(step))) for step in (shared, beside, mixed, handed)]
    assert find_latent(plan(Cell(late))) is None
    assert [None if node is None else (node.name, node.label) for node in found] == [("last", "sigmoid"), None, ("", "tanh"), ("", "tanh")]


def test_products_with_the_latent_value_s_jacobian(monkeypatch):
    given = make_problem("minimal_deep", 5, 1, 7, 12, "float64", "cpu", 0)
    whole = jacobians.measure_jacobians(given)
    monkeypatch.setattr(jacobians, "ROWS", 8)
    monkeypatch.setattr(jacobians, "PROBES", 4000)
    estimated = jacobians.measure_jacobians(given)
    assert whole.latent and estimated.latent and not estimated.latent.values
    assert whole.latent.mean_square == pytest.approx(estimated.latent.mean_square, rel=0.09)  # as above

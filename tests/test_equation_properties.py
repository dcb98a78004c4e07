"""What follows from the equations of MinimalRNN and CFN for any weights, inputs and states; in float64."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import cells
from kernels import RNN

SLACK = 1e-12
"""Rounding of a few float64 operations on numbers of size 1, step by step."""

gains = st.sampled_from([0.1, 1.0, 5.0, 40.0])
sizes = st.integers(1, 7)
seeds = st.integers(0, 10_000)
drawn = given(st.tuples(st.integers(1, 30), st.integers(1, 4), sizes, sizes), gains, seeds, st.sampled_from(["eager", "compiled"]))
few = settings(max_examples=25)


def wild(cell: str, D: int, H: int, gain: float, seed: int, backend: str = "eager") -> RNN:
    """A cell with every learned value drawn from N(0, gain²)."""
    torch.manual_seed(seed)
    rnn = RNN(cell, D, H, backend=backend, dtype=torch.float64)
    with torch.no_grad():
        for value in rnn.parameters():
            value.normal_(0, gain)
    return rnn


@few
@drawn
def test_minimal_is_a_convex_combination(size, gain, seed, backend):
    """|h_t(i)| ≤ max(|h_0(i)|, max_s |z_s(i)|)."""
    T, B, D, H = size
    rnn = wild("minimal", D, H, gain, seed, backend)
    x, h = torch.randn(T, B, D, dtype=torch.float64), torch.randn(1, B, H, dtype=torch.float64)
    y, _ = rnn(x, h)
    z = torch.tanh(x @ rnn.weights()["W.z"].T + rnn.weights()["b.z"])
    bound = torch.maximum(h[0].abs(), z.abs().cummax(0).values)
    assert (y.abs() <= bound + SLACK).all()
    assert (rnn(x)[0].abs() <= 1 + SLACK).all()


@few
@drawn
def test_minimal_relaxes_monotonically_for_constant_input(size, gain, seed, backend):
    """h_t - z = u_t (h_{t-1} - z): every coordinate goes towards z and never past it."""
    T, B, D, H = size
    rnn = wild("minimal", D, H, gain, seed, backend)
    x, h = torch.randn(1, B, D, dtype=torch.float64).expand(T, B, D), torch.randn(1, B, H, dtype=torch.float64)
    y, _ = rnn(x.contiguous(), h)
    z = torch.tanh(x[0] @ rnn.weights()["W.z"].T + rnn.weights()["b.z"])
    away = torch.cat([h, y]) - z
    assert (away[1:].abs() <= away[:-1].abs() + SLACK).all()
    assert (away[1:] * away[0] >= -SLACK).all()


@few
@drawn
def test_cfn_decays_whatever_its_weights(size, gain, seed, backend):
    """Without input |h_t(i)| ≤ θ*ᵗ |h_0(i)|, θ* the largest gate on the way; and |h| < 1 after a step in any case."""
    T, B, D, H = size
    rnn = wild("cfn", D, H, gain, seed, backend)
    h = 3 * torch.randn(1, B, H, dtype=torch.float64)
    y, _ = rnn(torch.zeros(T, B, D, dtype=torch.float64), h)
    before, w = torch.cat([h, y[:-1]]), rnn.weights()
    theta = torch.sigmoid(before @ w["W.theta_h"].T + w["b.theta"]).amax(0)
    steps = torch.arange(1, T + 1).view(-1, 1, 1)
    assert (y.abs() <= theta**steps * h.abs() + SLACK).all()
    assert (y.abs() <= before.abs() + SLACK).all()


@few
@drawn
def test_cfn_is_bounded_by_its_gates_and_input(size, gain, seed, backend):
    """|h_k(i)| ≤ θ*ᵏ |h_0(i)| + (1 - θ*ᵏ) η* ε / (1 - θ*) with ε the largest input |tanh(W x)(i)|; and |h| < 2 after a step."""
    T, B, D, H = size
    rnn = wild("cfn", D, H, gain, seed, backend)
    x, h = torch.randn(T, B, D, dtype=torch.float64), 3 * torch.randn(1, B, H, dtype=torch.float64)
    y, _ = rnn(x, h)
    before, w = torch.cat([h, y[:-1]]), rnn.weights()

    def gate(name: str) -> torch.Tensor:
        return torch.sigmoid(before @ w[f"W.{name}_h"].T + x @ w[f"W.{name}_x"].T + w[f"b.{name}"]).amax(0)

    theta, eta, epsilon = gate("theta"), gate("eta"), torch.tanh(x @ w["W.x"].T).abs().amax(0)
    # (1 - θᵏ) / (1 - θ) is 1 + θ + … + θᵏ⁻¹, which θ = 1 to rounding does no harm
    sums = torch.stack([theta**k for k in range(T)]).cumsum(0)
    steps = torch.arange(1, T + 1).view(-1, 1, 1)
    assert (y.abs() <= theta**steps * h.abs() + sums * eta * epsilon + SLACK).all()
    assert (y.abs() <= 2).all()


@few
@given(st.tuples(sizes, sizes), gains, seeds)
def test_minimal_has_a_bounded_jacobian(size, gain, seed):
    """‖∂h_t/∂h_{t-1}‖ ≤ max u + ‖U_h‖ max|(h - z) u (1 - u)|, and so ≤ max u + ‖U_h‖/2 where |h| ≤ 1."""
    D, H = size
    rnn = wild("minimal", D, H, gain, seed)
    weights = {name: value.detach() for name, value in rnn.weights().items()}
    x, h = torch.randn(1, 1, D, dtype=torch.float64), 2 * torch.rand(1, H, dtype=torch.float64) - 1
    J = torch.autograd.functional.jacobian(lambda h: cells.load("minimal").unroll(x, [h], weights)[0][0, 0], h).squeeze(1)
    z = torch.tanh(x[0] @ weights["W.z"].T + weights["b.z"])
    u = torch.sigmoid(h @ weights["W.uh"].T + z @ weights["W.uz"].T + weights["b.u"])
    norm, U = torch.linalg.matrix_norm(J, 2), torch.linalg.matrix_norm(weights["W.uh"], 2)
    assert norm <= (u.max() + U * ((h - z) * u * (1 - u)).abs().max()) * (1 + SLACK)
    assert norm <= (u.max() + U / 2) * (1 + SLACK)

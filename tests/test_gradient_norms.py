"""Gradient norms against what autograd says of the whole unrolled function."""

import torch

from bench.measure.problem import make_problem
from bench.studies.signals import gradient_norms


def test_norms_are_those_of_the_last_output():
    given = make_problem("lstm", 7, 3, 4, 5, "float32", "cpu", 3)
    found = gradient_norms.measure_gradients(given)
    states = [s.clone().requires_grad_() for s in given.states]
    y, _ = given.cell.unroll(given.x, states, given.weights)
    expected = torch.autograd.grad((y[-1] * given.dy[-1]).sum(), states)
    assert len(found.by_lag) == given.T + 1
    assert abs(found.by_lag[-1] - torch.cat(expected, 1).norm(dim=1).mean().item()) < 1e-6
    assert abs(found.by_lag[0] - given.dy[-1].norm(dim=1).mean().item()) < 1e-5
    assert set(found.parameters) == set(given.weights) and found.non_finite == 0


def test_what_is_not_finite_is_counted_and_left_out():
    given = make_problem("vanilla_relu", 300, 2, 3, 4, "float32", "cpu", 0)
    given.weights["W.hh"].copy_(2.0 * torch.eye(4))
    found = gradient_norms.measure_gradients(given)
    assert found.non_finite > 0 and all(v < float("inf") for v in found.by_lag)

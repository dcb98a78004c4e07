"""The reference that everything is compared with, at the kinks of relu."""

import pytest
import torch

import cells
from tests.reference import Problem, decided, like, problem, solve


def kink(bias: float) -> Problem:
    """vanilla_relu with W x = 1 - 1e-8 or so, in float64, and a bias of about -1: next to the kink."""
    p = problem(cells.load("vanilla_relu"), 1, 1, 1, 1, dtype=torch.float64)
    one = torch.ones(1, 1, dtype=torch.float64)
    return p.with_given(**{"x": one[None], "h": 0 * one, "W.hx": one, "W.hh": one, "b.h": one[0] * bias})


def test_kinks_within_rounding_are_no_error():
    """A run whose relu takes the other branch at rounding distance from 0 is held to the reference that takes it too."""
    p = kink(-1 - 1e-8)
    taken = {"y": torch.full((1, 1, 1), 1e-8)}
    assert solve(p, "eager", torch.float64)["d x"].item() == 0
    assert solve(like(p, taken, torch.float32), "eager", torch.float64)["d x"].item() != 0


def test_kinks_beyond_rounding_are_errors():
    with pytest.raises(AssertionError, match="1 branches of relu are wrong"):
        solve(like(kink(-1.1), {"y": torch.ones(1, 1, 1)}, torch.float32), "eager", torch.float64)


def test_decided_is_vanilla_relu():
    """Given the branches that float64 takes, the reference with fixed branches equals the reference."""
    p = problem(cells.load("vanilla_relu"), 4, 3, 5, 17)
    plain = solve(p, "eager", torch.float64)
    told = solve(Problem(decided(p, plain["y"] > 0, 0.0), True, p.given, p.upstream), "eager", torch.float64)
    assert all(torch.equal(plain[n], told[n]) for n in plain)

"""Gradients stretch by stretch against those of the whole unrolled equations, in float64."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from bench.measure.backends import make_layer
from bench.measure.problem import Problem, make_problem
from bench.studies.signals.chunked_vjp import ChunkedVJP, chunk_boundaries, octave_lags

EQUAL = 1e-12
"""The same sums in float64, some in another order."""


def chain(given: Problem, lags: list[int], backend: str = "eager", **options: bool) -> ChunkedVJP:
    upstream = [given.dy[-1], *given.d_final[1:]]
    return ChunkedVJP(make_layer(backend, given), given.x, given.states, upstream, lags, **options)


def expected(given: Problem) -> tuple[list[torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """The gradients of all states, from the last back, of x, and of the weights."""
    weights = {name: v.clone().requires_grad_() for name, v in given.weights.items()}
    x, path = given.x.clone().requires_grad_(), [[s.clone().requires_grad_() for s in given.states]]
    for t in range(given.T):
        _, after = given.cell.unroll(x[t : t + 1], path[-1], weights, x[t - 1] if t else None)
        path.append([s.clone() for s in after])
    loss = sum((s * g).sum() for s, g in zip(path[-1], [given.dy[-1], *given.d_final[1:]], strict=True))
    flat = [s for states in path for s in states]
    found = torch.autograd.grad(loss, [*flat, x, *weights.values()], allow_unused=True, materialize_grads=True)
    count = len(given.states)
    states = [torch.cat(found[k : k + count], 1) for k in range(0, len(flat), count)]
    return states[::-1], found[len(flat)], dict(zip(weights, found[len(flat) + 1 :], strict=True))


@pytest.mark.parametrize("backend", ["eager", "compiled"])
@pytest.mark.parametrize(
    ("cell", "T", "B"), [("lstm", 7, 3), ("gru_reset_before", 5, 1), ("minimal_deep", 1, 2), ("cfn", 6, 2), ("qrnn", 7, 2)]
)
def test_every_gradient_is_that_of_the_whole(cell, T, B, backend):
    given = make_problem(cell, T, B, 3, 5, "float64", "cpu", 1)
    states, dx, weights = expected(given)
    for lags in (list(range(T + 1)), sorted({0, T // 2, T})):
        walk = chain(given, lags, backend)
        links = list(walk.pull_back())
        assert [link.lag for link in links] == lags
        for link in links:
            assert (torch.cat(link.states, 1) - states[link.lag]).abs().max() < EQUAL
            if link.lag < T:
                assert (link.input - dx[T - link.lag - 1]).abs().max() < EQUAL
        assert links[-1].input is None
        assert walk.weights.keys() == weights.keys()
        assert all((walk.weights[name] - weights[name]).abs().max() < EQUAL for name in weights)


def test_of_norm_one_with_what_it_was_divided_by():
    given = make_problem("gru", 12, 2, 3, 4, "float64", "cpu", 0)
    states, _, _ = expected(given)
    for link in chain(given, [0, 1, 5, 12], unit=True).pull_back():
        norm = states[link.lag].norm(dim=1)
        assert (torch.cat(link.states, 1).norm(dim=1) - 1).abs().max() < EQUAL
        assert (link.scale.squeeze(1) - norm.log()).abs().max() < 1e-10


def test_zero_stays_zero():
    """Relu units that are all off: nothing to divide, and no NaN."""
    given = make_problem("vanilla_relu", 6, 2, 3, 4, "float64", "cpu", 0)
    given.weights["b.h"].fill_(-100.0)
    *_, last = chain(given, [0, 3, 6], unit=True).pull_back()
    assert not last.states[0].any() and last.scale.isfinite().all()


@given(st.integers(1, 5000))
def test_stops_begin_at_the_last_and_end_at_the_first(T):
    for lags in (chunk_boundaries(T), octave_lags(T)):
        assert lags[0] == 0 and lags[-1] == T and lags == sorted(set(lags))
    assert len(chunk_boundaries(T)) <= 65 + 8 * max(0, T.bit_length() - 6)
    assert all(b <= 1.1 * a + 1 for a, b in pairwise(chunk_boundaries(T)))

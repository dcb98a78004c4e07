"""Sums over units, transposed matrices and the number of the step: every schedule against the equations in float64, and against torch."""

import math

import pytest
import torch
import torch.nn.functional as F

from cells import Cell, CellError, load
from cells.grammar.functions import (
    clamp,
    cos,
    erf,
    exp,
    gelu,
    layer_norm,
    mean,
    norm,
    rms_norm,
    sigmoid,
    sin,
    softmax,
    sum,
    tanh,
    time,
)  # fmt: skip
from kernels import RNN
from kernels.derive.plan import plan
from kernels.schedules.persistent import persistent
from kernels.schedules.scan import scan
from tests.reference import check, draws, error, problem, solve
from tests.sampling import in_full, sample
from tests.tolerances import TOLERANCE


def normalised(h, c, x, W, b, p):
    """All gates by one mean and variance, and the new state by its own: six sums, one after another."""
    i, f, g = layer_norm(W.ix(x) + W.ih(h) + b.i, W.fx(x) + W.fh(h), W.gx(x) + W.gh(h))
    c = sigmoid(p.f * f) * c + sigmoid(i + b.i) * tanh(g)
    return tanh(p.c * layer_norm(c)), c


def attending(h, x, W, b, s):
    """Heads of two sizes, a softmax of each, a norm that is 0 at first, and a sum in front of a matrix in the loop."""
    a = softmax(W.h(h), heads=2)
    n = tanh(W.n(rms_norm(a * h, heads=3)) + W.x(x))
    return layer_norm(h + n, heads=2) * exp(s.a) + 0.1 * norm(h, a) + mean(h)


def in_front(h, x, W, b, p):
    """Sums of x and of parameters alone: they leave the loop, which has no product."""
    return softmax(W.x(x)) * h + norm(x) * p.a + layer_norm(W.y(x)) * mean(p.b) + p.c / norm(p.c)


def both_ways(h, c, x, W, b):
    """A matrix and itself transposed on three operands: a state, one computed in the step, and one in front of the loop."""
    return tanh(W.a(h) - W.a.T(h) + W.x(x)) * sigmoid(W.a.T(W.x(x))), W.a.T(sigmoid(W.a(c)) * c) + b.c


def clocked(h, c, x, W, b, p):
    """The number of the step under functions, in the loop and as a next state, and functions that are not in other cells."""
    k = 0.5 + 0.5 * sin(p.w * time() + p.q)
    return k * tanh(W.x(x) + W.h(h)) + (1 - k) * clamp(h, -0.3, 0.4), 0.01 * time() + 0.5 * erf(c) * cos(gelu(h)) + 0.1 * (
        1.5 + tanh(c)
    ) ** 1.5


def both_sides(h, x, W, b, p):
    """Sums of the input, of its products, of parameters and of time beside those of a state: only those of the input leave the loop."""
    f = sigmoid(layer_norm(W.f(x)) * p.f + layer_norm(W.h(h)) + norm(x) * p.n + b.f)
    return f * h + (1 - f) * softmax(W.z(rms_norm(x)) + 0.1 * time()) + mean(p.n) * W.h(h)


CELLS = {step.__name__: Cell(step) for step in (normalised, attending, in_front, both_ways, clocked, both_sides)}
SIZES = [(2, 2, 5, 18), (1, 1, 2, 6), (1, 2, 3, 30)]


@sample("name, backend, size", list(CELLS), ["compiled", "stepwise"], SIZES)
def test_schedules(name, backend, size):
    """Sizes that no vector divides."""
    check(draws(CELLS[name], *size), backend, torch.float32)


@sample("name, low", list(CELLS), ["", "-low"])
def test_float64(name, low):
    """The compiled loop; with little memory, whose terms are computed a second time."""
    check(draws(CELLS[name], 5, 3, 4, 18, dtype=torch.float64), f"compiled{low}", torch.float64)


@pytest.mark.parametrize("backend", ["compiled", in_full("eager")])
def test_errors_are_those_of_the_problem(backend):
    """A thousand steps of seven units, each normalised by their own small variance: float64 moves as far as float32 is off, where all that
    it is given changes by half a unit of float32's rounding."""
    exact = problem(load("lstm_layer_norm"), 1000, 1, 5, 7)
    wanted, moves = solve(exact, "compiled", torch.float64), []
    for seed in range(4):
        torch.manual_seed(seed)
        eps = torch.finfo(torch.float32).eps
        given = {name: v.double() * (1 + eps * (torch.rand(v.shape).double() - 0.5)) for name, v in exact.given.items()}
        moves.append(largest_error(solve(exact.with_given(**given), "compiled", torch.float64), wanted))
    off = largest_error(solve(exact, backend, torch.float32), wanted)
    assert TOLERANCE["schedule", torch.float32] < max(moves) and off < 4 * max(moves)


def largest_error(found, wanted) -> float:
    return max(error(found[name], value) for name, value in wanted.items() if value.any())


VALUES = torch.tensor(
    [[1.0, -2.0, 0.5, 3.0], [0.0, 0.0, 0.0, 0.0], [1e4, 1e4, 1e4, 1e4 + 1], [300.0, -1e3, 299.0, 0.0]], dtype=torch.float64
)
AS_TORCH = {
    "mean": (mean, lambda v: v.mean(-1, keepdim=True).expand_as(v)),
    "sum": (sum, lambda v: v.sum(-1, keepdim=True).expand_as(v)),
    "norm": (norm, lambda v: torch.linalg.vector_norm(v, dim=-1, keepdim=True).expand_as(v)),
    "softmax": (softmax, lambda v: v.softmax(-1)),
    "layer_norm": (layer_norm, lambda v: F.layer_norm(v, v.shape[-1:])),
    "rms_norm": (rms_norm, lambda v: F.rms_norm(v, v.shape[-1:], eps=1e-5)),
}


def make_cell(heads: int) -> Cell:
    """A state for each function, in the order of AS_TORCH, whose next value is the function of it."""

    def every(h, k, m, n, u, v, x, W, b):
        return tuple(ours(state, heads=heads) for (ours, _), state in zip(AS_TORCH.values(), (h, k, m, n, u, v), strict=True))

    return Cell(every)


def run_once(values: torch.Tensor, backend: str, heads: int = 1) -> dict[str, list[torch.Tensor]]:
    """Each function of the values in one step, and the gradient of a sum of its results with the factors 0, 1, …"""
    states = [values.clone()[None].requires_grad_() for _ in AS_TORCH]
    _, final = RNN(make_cell(heads), 1, values.shape[1], backend=backend)(torch.zeros(1, len(values), 1, dtype=values.dtype), tuple(states))
    gradients = torch.autograd.grad([(f * torch.arange(values.shape[1])).sum() for f in final], states)
    return {name: [f[0].detach(), d[0]] for name, f, d in zip(AS_TORCH, final, gradients, strict=True)}


@sample("backend, heads", ["eager", "compiled"], [1, 2])
def test_as_torch_has_them(backend, heads):
    """Whole and by heads, at zero, far from zero, and where exponentials overflow; in float64, with torch's gradients."""
    for name, results in run_once(VALUES, backend, heads).items():
        v = VALUES.clone().requires_grad_()
        y = AS_TORCH[name][1](v.unflatten(-1, (heads, -1))).flatten(-2)
        (d,) = torch.autograd.grad((y * torch.arange(4)).sum(), [v])
        for found, expected in zip(results, (y.detach(), d), strict=True):
            assert (found - expected).abs().max() <= TOLERANCE["schedule", torch.float64] * expected.abs().max(), name


@pytest.mark.parametrize("backend", ["eager", "compiled", "stepwise"])
def test_not_finite(backend):
    """NaN and infinity where torch has them, in the row that they are in."""
    values = torch.tensor([[1.0, math.nan, 2.0], [1.0, 2.0, 3.0], [1.0, math.inf, 2.0], [1.0, -math.inf, 2.0]])
    for name, (found, _) in run_once(values, backend).items():
        expected = AS_TORCH[name][1](values)
        assert torch.equal(found.isnan(), expected.isnan()) and torch.equal(found.isinf(), expected.isinf()), name


def test_who_runs_them():
    """The schedules that divide the units among programs say why they can't, and leave sums in front of the loop alone."""
    arguments = torch.float32, torch.device("cpu"), 4, 18
    assert "sums over them in the loop: use stepwise" in persistent.unsupported_reason(plan(CELLS["attending"]), *arguments)
    spread = plan(Cell(lambda h, x, W, b: sigmoid(W.x(x)) * h + mean(h)))
    assert "sums over them in the loop: use stepwise" in scan.unsupported_reason(spread, *arguments)
    assert not plan(CELLS["in_front"]).reduces_states and not plan(CELLS["in_front"]).stages


def test_transposed_matrix_is_one_parameter():
    assert CELLS["both_ways"].shapes(5, 6) == {"W.a": (6, 6), "W.x": (6, 5), "b.c": (6,)}
    headed = Cell(lambda h, x, W, b: tanh(W.a.T.T(h) - W.a.T(h) + W.x(x)), heads={"W.a": 3})
    assert {n.label for n in plan(headed).products} == {"a", "a.T", "x"}
    check(draws(headed, 3, 2, 5, 12), "compiled", torch.float32)


@pytest.mark.parametrize("backend", ["eager", "compiled"])
def test_time(backend):
    """A stream goes on where `start` says; a reset begins at 0; packed rows and the reverse direction count in their own order."""

    def counter(h, x, W, b):
        return time() + 0 * h + 0 * x

    layer, both = (RNN(counter, 1, 1, backend=backend, bidirectional=two) for two in (False, True))
    x = torch.zeros(5, 2, 1)
    assert layer(x)[0][:, 0, 0].tolist() == [0, 1, 2, 3, 4]
    assert layer(x, start=7)[0][:, 1, 0].tolist() == [7, 8, 9, 10, 11]
    assert both(x)[0][:, 0].tolist() == [[0, 4], [1, 3], [2, 2], [3, 1], [4, 0]]
    reset = torch.zeros(5, 2, dtype=torch.bool)
    reset[3, 1] = reset[0, 0] = True
    assert layer(x, start=7, reset=reset)[0][:, :, 0].t().tolist() == [[0, 1, 2, 3, 4], [7, 8, 9, 0, 1]]
    for kept in (None, reset):
        y, _ = both(x, lengths=[3, 5], start=1, reset=kept)
        expected = [[1, 2, 3], [1, 2, 3, 4, 5]] if kept is None else [[0, 1, 2], [1, 2, 3, 0, 1]]
        assert [y[:n, k, 0].tolist() for k, n in enumerate((3, 5))] == expected
    with pytest.raises(TypeError, match="start is a str: give the number of the first step"):
        layer(x, start="now")


def test_time_in_chunks():
    """Of a sequence of several chunks, with little memory."""
    check(draws(CELLS["clocked"], 300, 2, 3, 6), "compiled-low", torch.float32)


WRONG = {
    "mean takes one or several values, mean(a, b), not a list of them": lambda h, x, W, b: W.x(x) + mean([h, h]),
    "sum takes values with units, and one number for each sequence": lambda h, x, W, b: W.x(x) + sum(mean(h) * 2),
    "W.h is applied to one number for each sequence: ": lambda h, x, W, b: W.x(x) + W.h(mean(h)),
    "heads is 0.5: it must be a whole number, at least 1": lambda h, x, W, b: W.x(x) + mean(h, heads=0.5),
    "time is called, time(), and not added": lambda h, x, W, b: W.x(x) + h * time,
    "tanh is called, tanh(v), and not added": lambda h, x, W, b: W.x(x) + h * tanh,
    "W.h.T is applied to x, and only a matrix of states can be transposed": lambda h, x, W, b: W.h(h) + W.h.T(x),
    "W.h is applied to x, and only a matrix of states can be transposed": lambda h, x, W, b: W.h(x) + W.h.T(h),
    "a matrix has no .mT: W.name(v) applies it, and W.name.T(v)": lambda h, x, W, b: W.x(x) + W.h.mT(h),
    "clamp has low 1 above high 0": lambda h, x, W, b: W.x(x) + clamp(h, 1, 0),
    "the base of a power must be positive, not -2": lambda h, x, W, b: W.x(x) + (-2) ** h,
}


@pytest.mark.parametrize("message", WRONG)
def test_wrong_calls(message):
    with pytest.raises(CellError) as error:
        plan(Cell(WRONG[message]))
    assert message in str(error.value)


def test_heads_share_the_units():
    with pytest.raises(CellError, match="the 4 heads of mean share the units: their number must be a multiple of 4, not 6"):
        RNN(lambda h, x, W, b: tanh(W.x(x) + mean(h, heads=4)), 3, 6)

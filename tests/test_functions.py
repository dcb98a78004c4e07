"""The functions of a cell: what they are to torch, over the whole range of their arguments, in every language they are printed in."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

import cells.grammar.functions as functions
from cells import Cell, CellError
from cells.grammar.functions import FUNCTION_NAMES, FUNCTIONS, exp, maximum, minimum, silu, where
from kernels.derive.plan import plan
from kernels.layer.input_products import apply
from kernels.layer.select import SCHEDULES
from tests.reference import error
from tests.sampling import in_full, sample
from tests.tolerances import TOLERANCE

LARGEST = torch.finfo(torch.float32).max
POSITIVE = (
    1e-45, 1e-38, 1e-30, 1e-8, 1e-4, 1e-3, 0.1, 0.5, 1.0, 4 / 3, 1.5, 2.9, 3.0, 3.1, 10.0, 20.0, 80.0, 87.0, 88.0, 88.5, 88.8, 89.0, 100.0,
    103.0, 104.0, 1e4, 1e30, LARGEST,
)  # fmt: skip
RANGE = torch.tensor([*(-v for v in reversed(POSITIVE)), 0.0, *POSITIVE])
"""Around every limit: of float32, of its exponential, of the hard functions, and of the series that stand in for a function."""

PAIRS = torch.cartesian_prod(RANGE[::4], RANGE[::4]).unbind(1)
UNARY = [name for name in FUNCTIONS if FUNCTIONS[name].arity == 1]
COMPILED = pytest.mark.parametrize(
    ("backend", "dtype"), [("compiled", torch.float32), in_full("compiled", torch.float64), ("stepwise", torch.float32)], ids=str
)
DIGITS = {torch.float32: 4e-7, torch.float64: 1e-15}
"""A few roundings, element by element: of a series, or of an exponential's argument."""

SMALLEST = 1e-37
"""Below it float32 holds fewer digits, and a σ that keeps all of them costs more than it is worth."""


def pointwise(step, backend: str, dtype: torch.dtype, *states: Tensor) -> list[Tensor]:
    """The next states of a cell that has no product, and the gradients of their sum, on each element of `states`."""
    given = [s.to(dtype)[None].requires_grad_() for s in states]
    x = torch.zeros(1, 1, 1, dtype=dtype)
    cell = Cell(step)
    _, final = cell.unroll(x, given, {}) if backend == "eager" else apply(plan(cell), SCHEDULES[backend], x, given, {})
    through = [f for f in final if f.requires_grad]
    ends = [f.sum() for f in through]
    gradients = torch.autograd.grad(ends, given, materialize_grads=True) if ends else [torch.zeros_like(s) for s in given]
    return [t.detach().flatten() for t in (*final, *gradients)]


def alike(found: list[Tensor], expected: list[Tensor], dtype: torch.dtype) -> None:
    """Element by element, NaN and infinity where the reference has them once it is rounded."""
    for ours, exact in zip(found, (e.to(dtype).double() for e in expected), strict=True):
        same = (ours == exact) | (ours.isnan() & exact.isnan())
        off = ((ours - exact).abs() / (exact.abs() + SMALLEST))[~same]
        assert (off <= DIGITS[dtype]).all(), f"off by {off.max():.1e}"


@COMPILED
@pytest.mark.parametrize("name", [n for n in UNARY if n not in ("sigmoid", "tanh")])
def test_range(name, backend, dtype):
    """Every function and its derivative at all magnitudes, each element on its own. The derivatives of σ and tanh are made of their
    values and cancel where they are flat: the next test has them."""

    def step(h, x, W, b):
        return FUNCTIONS[name](h)

    found, expected = (pointwise(step, b, d, RANGE) for b, d in ((backend, dtype), ("eager", torch.float64)))
    if name == "softplus":
        assert error(found.pop(), expected.pop()) <= DIGITS[dtype], "its derivative is σ, of which small values lose digits"
    alike(found, expected, dtype)


@COMPILED
@pytest.mark.parametrize("name", ["sigmoid", "tanh", "silu"])
def test_flat(name, backend, dtype):
    """No NaN and no infinity at any magnitude, and as near to float64 as the largest value allows."""

    def step(h, x, W, b):
        return getattr(functions, name)(h)

    found, expected = (pointwise(step, b, d, RANGE) for b, d in ((backend, dtype), ("eager", torch.float64)))
    for ours, exact in zip(found, expected, strict=True):
        assert error(ours, exact) <= DIGITS[dtype]


@COMPILED
@pytest.mark.parametrize("function", [maximum, minimum], ids=lambda f: f.name)
def test_range_of_two(function, backend, dtype):
    """All pairs of magnitudes, equal ones too: a tie goes half to each."""

    def step(h, c, x, W, b):
        return function(h, c), 0.0 * c

    alike(pointwise(step, backend, dtype, *PAIRS), pointwise(step, "eager", torch.float64, *PAIRS), dtype)


@COMPILED
@pytest.mark.parametrize("compare", ["<", "<=", ">", ">="])
def test_where(compare, backend, dtype):
    """Of values and of numbers, equal ones too."""
    scope: dict = {"where": where}
    exec(f"def step(h, c, x, W, b): return where(h {compare} c, 2 * h, -c), where(0.5 {compare} c, 0.1, h)", scope)
    step = scope["step"]
    alike(pointwise(step, backend, dtype, *PAIRS), pointwise(step, "eager", torch.float64, *PAIRS), dtype)


@sample(
    "name, backend",
    ["maximum", "minimum", "relu", "abs", "hard_tanh", "hard_sigmoid", "sigmoid", "softplus", "exp", "log", "sqrt"],
    ["compiled", "eager", "stepwise"],
)
def test_not_a_number(name, backend):
    """NaN stays NaN, in whichever argument."""
    f = FUNCTIONS[name]

    def step(h, c, x, W, b):
        return f(*(h, c)[: f.arity]), f(c, h) if f.arity == 2 else c * f(h)

    nan, one = torch.tensor([float("nan")] * 3), torch.ones(3)
    assert all(t.isnan().all() for t in pointwise(step, backend, torch.float32, nan, one)[:2])


KINKS = (-3.0, -1.0, -0.5, 0.0, 0.5, 1.0, 3.0)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_derivatives(name):
    """Each function's stated derivatives are autograd's, at its kinks and ties too; those that compare are flat."""
    f = FUNCTIONS[name]
    values = torch.cartesian_prod(*[torch.tensor(KINKS, dtype=torch.float64)] * f.arity).reshape(-1, f.arity)
    values = values.abs() + 0.25 * (name == "power") if name in ("log", "sqrt", "power") else values
    given = [v.clone().requires_grad_() for v in values.unbind(1)]
    first = [given[0] > 0, *given[1:]] if name == "where" else given
    y = f(*first)
    expected = torch.autograd.grad(y.sum(), given, materialize_grads=True) if y.requires_grad else [torch.zeros_like(v) for v in given]
    for stated, exact in zip(f.partials(*first, y), expected, strict=True):
        stated = torch.as_tensor(stated, dtype=torch.float64).expand(len(values)).detach()
        assert torch.allclose(stated, exact, rtol=TOLERANCE["paper", torch.float64], atol=0)


def test_as_torch_has_them():
    v = torch.linspace(-8, 8, 65, dtype=torch.float64)
    for ours, theirs in (
        (silu, F.silu),
        (functions.softplus, F.softplus),
        (functions.hard_sigmoid, F.hardsigmoid),
        (functions.hard_tanh, F.hardtanh),
    ):
        assert torch.allclose(ours(v), theirs(v), rtol=1e-12, atol=1e-12)


def test_numbers():
    """Of a number comes a number, beside a tensor it takes that one's dtype."""
    assert exp(0.0) == 1.0 and maximum(2, 3.5) == 3.5 and isinstance(minimum(1, 2), float)
    h = torch.ones(3)
    assert maximum(h, 2).dtype == where(h > 0, 0.1, h).dtype == torch.float32
    assert where(h > 0, 0.1, 0.2)[0] == 0.1, "in float64, not rounded before it meets what is float64"


def test_where_of_two_numbers_keeps_the_dtype():
    """It meets the weights and becomes a state in theirs."""

    def step(h, x, W, b):
        return W.h(where(h > 0, 1.0, 0.1)) + where(h > 0, 0.3, 0.1)

    y, (final,) = Cell(step).unroll(torch.zeros(2, 1, 1), [torch.ones(1, 3)], {"W.h": torch.eye(3)})
    assert y.dtype == final.dtype == torch.float32


def test_wrong_calls():
    with pytest.raises(CellError, match="maximum takes 2 values, not 1"):
        maximum(torch.ones(3))
    with pytest.raises(CellError, match="exp takes 1 value, not 2"):
        exp(1, 2)
    with pytest.raises(CellError, match="exp takes values, not a str"):
        exp("h")
    with pytest.raises(CellError, match=r"exp takes values, not a function: apply the matrix first, W\.name\(h\)"):
        exp(lambda v: v)


def test_known():
    """Messages list what a cell may write, all of which can be imported."""
    assert all(callable(getattr(functions, name)) for name in FUNCTION_NAMES.split(", ")) and "silu" in FUNCTION_NAMES

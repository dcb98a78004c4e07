"""The derived adjoint against SymPy's own derivative and against differences."""

import random
from collections.abc import Sequence
from typing import Any

import mpmath
import pytest
import sympy
from hypothesis import given
from hypothesis import strategies as st

from cells.grammar.functions import FUNCTIONS
from kernels.derive.adjoint import TRITON, adjoint, print_source
from kernels.derive.graph import LEAVES, walk
from kernels.derive.plan_types import Pointwise
from kernels.derive.symbolic import SYMPY_FUNCTIONS, to_sympy
from tests.expressions import EVERY, MPMATH, STEPS, SYMPY, evaluate, overflow, pointwise, same, trees, triton
from tests.sampling import sample
from tests.tolerances import CHEAP, DIGITS, SYMBOLIC

__all__ = ["overflow"]


def derivatives_agree(f: Pointwise) -> None:
    """adjoint(f) equals what SymPy differentiates, at a few points, to `SYMBOLIC`."""
    reverse = adjoint(f)
    assert reverse.inputs[: len(f.inputs)] == f.inputs and len(reverse.outputs) == len(f.inputs)
    assert [n.label for n in reverse.inputs[len(f.inputs) :]] == [f"d_{r}" for r in f.results]
    symbols = [to_sympy(n) for n in reverse.inputs]
    upstream = symbols[len(f.inputs) :]
    outputs = [smooth(to_sympy(out)) for out in f.outputs]
    number = random.Random(0)
    modules = [{"Heaviside": lambda v, *_: mpmath.mpf(bool(v > 0)), "DiracDelta": lambda *_: 0}, "mpmath"]
    with mpmath.workdps(DIGITS):
        points = [[mpmath.mpf(number.uniform(-2, 2)) for _ in symbols] for _ in range(2)]
        for leaf, found in zip(f.inputs, reverse.outputs, strict=True):
            expected = sum((d * sympy.diff(out, to_sympy(leaf)) for d, out in zip(upstream, outputs, strict=True)), sympy.Integer(0))
            ours, theirs = (sympy.lambdify(symbols, e, modules) for e in (smooth(to_sympy(found)), expected))
            for point in points:
                assert abs(ours(*point) - theirs(*point)) <= SYMBOLIC * (1 + abs(theirs(*point))), leaf


def slopes_agree(f: Pointwise, point: Sequence[float], allowed: float = SYMBOLIC) -> None:
    """adjoint(f) at a point, its upstream gradients last, equals differences with a step of 1e-25 and `DIGITS` decimal digits."""
    with mpmath.workdps(DIGITS):
        step = mpmath.mpf(10) ** -25
        numbers = [mpmath.mpf(v) for v in point]
        values, upstream = numbers[: len(f.inputs)], numbers[len(f.inputs) :]

        def total(k: int, sign: int) -> Any:
            moved = [v + sign * step * (j == k) for j, v in enumerate(values)]
            return sum(d * out for d, out in zip(upstream, evaluate(f, moved, MPMATH, mpmath.mpf), strict=True))

        for k, ours in enumerate(evaluate(adjoint(f), numbers, MPMATH, mpmath.mpf)):
            slope = (total(k, 1) - total(k, -1)) / (2 * step)
            assert abs(ours - slope) <= allowed * (1 + abs(slope)), f.inputs[k]


def smooth(expression: sympy.Expr) -> sympy.Expr:
    """relu and its derivative as SymPy knows them, which is all it doesn't know of ours."""
    known = {"relu": lambda v: sympy.Max(v, 0), "positive": lambda v: sympy.Heaviside(v, 0)}
    for name, meaning in known.items():
        expression = expression.replace(sympy.Function(name, real=True), meaning)
    return expression


def operations(*functions: Pointwise) -> int:
    return sum(n.op not in LEAVES for f in functions for n in walk(f.outputs))


@sample("name", list(STEPS))
def test_adjoint_of_cells(name):
    """The adjoint of every step and stage agrees with SymPy's derivative, symbolically if SymPy has the functions."""
    f = STEPS[name]
    if {n.label for n in walk(f.outputs) if n.op == "call"} <= {*SYMPY, *SYMPY_FUNCTIONS}:
        derivatives_agree(f)
    else:
        number = random.Random(0)
        for _ in range(3):
            slopes_agree(f, [number.uniform(-2, 2) for _ in adjoint(f).inputs])


@given(st.lists(trees(*SYMPY), min_size=1, max_size=2))
def test_adjoint(trees):
    derivatives_agree(pointwise(*trees, divide=False))


DOUBLE = 1e-15
"""For derivatives with a constant that is no short decimal, 2/√π."""


@pytest.mark.parametrize("name", FUNCTIONS)
def test_adjoint_of_each_function(name):
    """Within others, away from kinks."""
    arguments = [("add", "b", ("mul", "a", "c")), ("mul", "a", "c"), ("sub", "a", "b")]
    if name == "where":
        arguments[0] = ("less", "a", "c")
    f = pointwise(("mul", ("tanh", (name, *arguments[: FUNCTIONS[name].arity])), "c"))
    for point in ((0.3, 1.1, 0.7), (0.9, 0.25, 1.5), (0.25, 0.5, -0.125)):
        slopes_agree(f, (*point, 1.0), DOUBLE if name == "erf" else SYMBOLIC)


@EVERY
def test_adjoint_is_cheap(f):
    """Reverse accumulation costs a few times the function, not its expansion."""
    assert operations(adjoint(f)) <= CHEAP * (operations(f) + len(f.outputs))


def test_deep_nesting_stays_small():
    """Eight deep, each level reading the one below three times: expanded, thousands of operations; shared, a few dozen."""
    tree = "a"
    for _ in range(8):
        tree = ("add", ("mul", ("tanh", tree), tree), ("sigmoid", tree))
    f = pointwise(tree)
    assert operations(f) == 8 * 4
    assert operations(adjoint(f)) <= CHEAP * 8 * 4
    assert len(print_source(adjoint(f), TRITON)) < 8000
    same(triton(adjoint(f), (0.3, 0.1, -0.2, 1.0)), evaluate(adjoint(f), (0.3, 0.1, -0.2, 1.0)))

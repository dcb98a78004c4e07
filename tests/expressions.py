"""Expressions as trees, as graphs, and as Triton and C++ that Python runs."""

import math
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
from hypothesis import strategies as st

import cells
from cells.grammar.functions import FUNCTIONS
from kernels.derive.adjoint import CPP, TRITON, print_source
from kernels.derive.graph import Graph, Node, walk
from kernels.derive.plan import plan
from kernels.derive.plan_types import Pointwise
from tests import custom

NUMPY = {
    "abs": np.abs,
    "at_most": lambda a, b: np.float64(a <= b),
    "exp": np.exp,
    "hard_sigmoid": lambda v: np.clip(v + 3, 0, 6) / 6,
    "hard_tanh": lambda v: np.clip(v, -1, 1),
    "less": lambda a, b: np.float64(a < b),
    "log": np.log,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "softplus": lambda v: np.logaddexp(v, 0),
    "sqrt": np.sqrt,
    "floor": np.floor,
    "sin": np.sin,
    "cos": np.cos,
    "erf": lambda v: np.float64(math.erf(v)),
    "power": lambda a, b: np.float64(a) ** b if a >= 0 else np.nan,
    "where": lambda c, a, b: a if c else b,
    "positive": lambda v: np.float64(v > 0),
    "relu": lambda v: np.maximum(v, 0.0),
    "sigmoid": lambda v: 1 / (1 + np.exp(-v)),
    "tanh": np.tanh,
}
MPMATH = {
    **NUMPY,
    "abs": abs,
    "at_most": lambda a, b: mpmath.mpf(a <= b),
    "exp": mpmath.exp,
    "hard_sigmoid": lambda v: min(max(v / 6 + mpmath.mpf(1) / 2, mpmath.mpf(0)), mpmath.mpf(1)),
    "hard_tanh": lambda v: min(max(v, mpmath.mpf(-1)), mpmath.mpf(1)),
    "less": lambda a, b: mpmath.mpf(a < b),
    "log": mpmath.log,
    "maximum": max,
    "minimum": min,
    "positive": lambda v: mpmath.mpf(v > 0),
    "relu": lambda v: max(v, mpmath.mpf(0)),
    "sigmoid": lambda v: 1 / (1 + mpmath.exp(-v)),
    "softplus": lambda v: mpmath.log(1 + mpmath.exp(v)),
    "sqrt": mpmath.sqrt,
    "floor": mpmath.floor,
    "sin": mpmath.sin,
    "cos": mpmath.cos,
    "erf": mpmath.erf,
    "power": lambda a, b: mpmath.power(a, b),
    "tanh": mpmath.tanh,
}
LETTERS = ("a", "b", "c")
OPERATORS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg}

LEAF = st.sampled_from(LETTERS) | st.sampled_from([-1.0, 0.5, 1.0, 2.0, -3.0])
SYMPY = ("relu", "positive", "sigmoid", "tanh")
"""The functions that SymPy differentiates, its own and those defined here, at any depth."""


def trees(*names: str) -> st.SearchStrategy:
    """Expressions as nested tuples over the functions named; ("name", e) is e, called something by its cell."""
    kinds: dict[int, list[str]] = {1: ["neg", "name"], 2: ["add", "sub", "mul", "div"], 3: []}
    for name in names:
        kinds[FUNCTIONS[name].arity].append(name)
    return st.recursive(
        LEAF,
        lambda inner: st.one_of(*(st.tuples(st.sampled_from(ops), *[inner] * arity) for arity, ops in kinds.items() if ops)),
        max_leaves=14,
    )


TREES = trees(*FUNCTIONS)

POINTS = [(0.3, -1.1, 0.7), (-2.0, 0.25, 1.5), (1e16, -1e16, 0.7), (1e200, 1e200, 1e-200)]
"""Ordinary values, and such that any other grouping of a sum or of a product shows."""

PLANS = [plan(cell) for cell in [*map(cells.load, cells.names()), *custom.CELLS.values()]]
STEPS = {f"{p.cell.name}-{f.name}": f for p in PLANS for f in (p.step, *(s.argument for s in p.stages if s.argument))}
SUMMING = {name: STEPS.pop(name) for name, f in [*STEPS.items()] if f.reductions}
"""Those with sums over units: test_passes has them."""
EVERY = pytest.mark.parametrize("f", STEPS.values(), ids=STEPS)
"""Every elementwise function of every cell."""


def build(graph: Graph, tree: object, divide: bool = True) -> Node:
    """The tree as nodes. Without `divide`, a quotient's denominator is made one that has no zero."""
    if isinstance(tree, str):
        return graph.leaf("state", tree)
    if isinstance(tree, float):
        return graph.wrap(tree)
    op, *args = tree
    a, *rest = (build(graph, arg, divide) for arg in args)
    if op == "name":
        a.name = a.name or ("value" if a.args else "")
        return a
    if op in FUNCTIONS:
        return a.apply(FUNCTIONS[op], a, *rest)
    if op == "div" and not divide:
        rest = [rest[0] * rest[0] + 1.5]
    return OPERATORS[op](a, *rest)


def pointwise(*trees: object, divide: bool = True) -> Pointwise:
    graph = Graph()
    inputs = tuple(graph.leaf("state", letter) for letter in LETTERS)
    return Pointwise("f", inputs, tuple(build(graph, t, divide) for t in trees), tuple(f"r{k}" for k in range(len(trees))))


def evaluate(f: Pointwise, values: Sequence[Any], functions: Mapping[str, Callable] = NUMPY, number: Callable = np.float64) -> list[Any]:
    """The outputs, node by node, in float64 or what else `number` makes and `functions` take."""
    found = {leaf: number(value) for leaf, value in zip(f.inputs, values, strict=True)}
    for node in walk(f.outputs):
        if node in found:
            continue
        if node.value is not None:
            found[node] = number(node.value)
        else:
            found[node] = (functions | OPERATORS)[node.label or node.op](*(found[arg] for arg in node.args))
    return [found[out] for out in f.outputs]


def triton(f: Pointwise, values: tuple[float, ...]) -> list[float]:
    """What is printed as Triton, run as the Python it also is."""
    scope = {"triton": SimpleNamespace(jit=lambda function: function), **NUMPY}
    exec(print_source(f, TRITON), scope)
    return list(scope[f.name](*map(np.float64, values)))


def cpp(f: Pointwise, values: tuple[float, ...]) -> list[float]:
    """What is printed as C++, run as Python: its expressions group alike in both."""
    body = print_source(f, CPP).split("{\n", 1)[1].rsplit("}", 1)[0]
    lines = [line.strip().removeprefix("const V ").rstrip(";") for line in body.splitlines()]
    scope = {"inputs": list(map(np.float64, values)), "out": [0.0] * len(f.outputs), "splat": np.float64, **NUMPY}
    exec("\n".join(re.sub(r"\bin\[", "inputs[", line) for line in lines), scope)
    return scope["out"]


@pytest.fixture(autouse=True)
def overflow():
    """Infinity is a result like any other here."""
    with np.errstate(all="ignore"):
        yield


def same(found: list[float], expected: list[float]) -> None:
    """To the last bit."""
    assert np.array_equal(np.array(found, dtype=np.float64), np.array(expected, dtype=np.float64), equal_nan=True)

"""The derived adjoint against SymPy's own derivative, and what is printed against the graph it was printed from."""

import ctypes
import operator
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import mpmath
import numpy as np
import pytest
import sympy
from hypothesis import given, settings
from hypothesis import strategies as st

import cells
from cells.grammar.functions import FUNCTIONS
from kernels.derive.adjoint import CPP, TRITON, adjoint, print_source
from kernels.derive.graph import LEAVES, SMOOTH, Graph, Node, walk
from kernels.derive.plan import plan
from kernels.derive.plan_types import Pointwise
from tests import custom
from tests.tolerances import CHEAP, DIGITS, SYMBOLIC

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
    "tanh": mpmath.tanh,
}
LETTERS = ("a", "b", "c")
OPERATORS = {"add": operator.add, "sub": operator.sub, "mul": operator.mul, "div": operator.truediv, "neg": operator.neg}

LEAF = st.sampled_from(LETTERS) | st.sampled_from([-1.0, 0.5, 1.0, 2.0, -3.0])
SYMPY = ("relu", "positive", "sigmoid", "tanh")
"""What SymPy knows, or is told here, wherever it is nested."""


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
EVERY = pytest.mark.parametrize("f", STEPS.values(), ids=STEPS)
"""Every pointwise function of every cell."""


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


def derivatives_agree(f: Pointwise) -> None:
    """adjoint(f) equals what SymPy differentiates, at a few points, to `SYMBOLIC`."""
    reverse = adjoint(f)
    assert reverse.inputs[: len(f.inputs)] == f.inputs and len(reverse.outputs) == len(f.inputs)
    assert [n.label for n in reverse.inputs[len(f.inputs) :]] == [f"d_{r}" for r in f.results]
    symbols = [n.sympy() for n in reverse.inputs]
    upstream = symbols[len(f.inputs) :]
    outputs = [smooth(out.sympy()) for out in f.outputs]
    number = random.Random(0)
    modules = [{"Heaviside": lambda v, *_: mpmath.mpf(bool(v > 0)), "DiracDelta": lambda *_: 0}, "mpmath"]
    with mpmath.workdps(DIGITS):
        points = [[mpmath.mpf(number.uniform(-2, 2)) for _ in symbols] for _ in range(2)]
        for leaf, found in zip(f.inputs, reverse.outputs, strict=True):
            expected = sum((d * sympy.diff(out, leaf.sympy()) for d, out in zip(upstream, outputs, strict=True)), sympy.Integer(0))
            ours, theirs = (sympy.lambdify(symbols, e, modules) for e in (smooth(found.sympy()), expected))
            for point in points:
                assert abs(ours(*point) - theirs(*point)) <= SYMBOLIC * (1 + abs(theirs(*point))), leaf


def slopes_agree(f: Pointwise, point: Sequence[float]) -> None:
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
            assert abs(ours - slope) <= SYMBOLIC * (1 + abs(slope)), f.inputs[k]


def smooth(expression: sympy.Expr) -> sympy.Expr:
    """relu and its derivative as SymPy knows them, which is all it doesn't know of ours."""
    known = {"relu": lambda v: sympy.Max(v, 0), "positive": lambda v: sympy.Heaviside(v, 0)}
    for name, meaning in known.items():
        expression = expression.replace(sympy.Function(name, real=True), meaning)
    return expression


def operations(*functions: Pointwise) -> int:
    return sum(n.op not in LEAVES for f in functions for n in walk(f.outputs))


@EVERY
def test_adjoint_of_cells(f):
    """Every step and every stage: where SymPy is told what a function is, symbolically."""
    if {n.label for n in walk(f.outputs) if n.op == "call"} <= {*SYMPY, *SMOOTH}:
        derivatives_agree(f)
    else:
        number = random.Random(0)
        for _ in range(3):
            slopes_agree(f, [number.uniform(-2, 2) for _ in adjoint(f).inputs])


@given(st.lists(trees(*SYMPY), min_size=1, max_size=2))
def test_adjoint(trees):
    derivatives_agree(pointwise(*trees, divide=False))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_adjoint_of_each_function(name):
    """Within others, away from kinks."""
    arguments = [("add", "b", ("mul", "a", "c")), ("mul", "a", "c"), ("sub", "a", "b")]
    if name == "where":
        arguments[0] = ("less", "a", "c")
    f = pointwise(("mul", ("tanh", (name, *arguments[: FUNCTIONS[name].arity])), "c"))
    for point in ((0.3, 1.1, 0.7), (0.9, 0.25, 1.5), (0.25, 0.5, -0.125)):
        slopes_agree(f, (*point, 1.0))


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


@settings(max_examples=500)
@given(st.lists(TREES, min_size=1, max_size=3))
def test_printed(trees):
    """Both languages compute what the graph says, operation by operation, to the last bit."""
    f = pointwise(*trees)
    for values in POINTS:
        same(triton(f, values), evaluate(f, values))
        same(cpp(f, values), evaluate(f, values))


@EVERY
def test_printed_cells(f):
    """And so for every cell, forward and adjoint."""
    for g in (f, adjoint(f)):
        values = tuple(np.random.default_rng(0).uniform(-2, 2, len(g.inputs)))
        same(triton(g, values), evaluate(g, values))
        same(cpp(g, values), evaluate(g, values))


GROUPED = {
    "a - (b - c)": ("sub", "a", ("sub", "b", "c")),
    "a - b - c": ("sub", ("sub", "a", "b"), "c"),
    "a - (b + c)": ("sub", "a", ("add", "b", "c")),
    "a + (b - c)": ("add", "a", ("sub", "b", "c")),
    "a * (b * c)": ("mul", "a", ("mul", "b", "c")),
    "a * (b / c)": ("mul", "a", ("div", "b", "c")),
    "a / (b * c)": ("div", "a", ("mul", "b", "c")),
    "a / (b / c)": ("div", "a", ("div", "b", "c")),
    "a / b * c": ("mul", ("div", "a", "b"), "c"),
    "(a + b) * c": ("mul", ("add", "a", "b"), "c"),
    "-(a + b)": ("neg", ("add", "a", "b")),
    "-(a * b)": ("neg", ("mul", "a", "b")),
    "(-a) * b": ("mul", ("neg", "a"), "b"),
    "a - (-b)": ("sub", "a", ("neg", "b")),
    "a * (-b)": ("mul", "a", ("neg", "b")),
    "-(-a)": ("neg", ("neg", "a")),
    "a - -3.0": ("sub", "a", -3.0),
}


@pytest.mark.parametrize("text", GROUPED)
def test_grouping(text):
    """Brackets where the order of operations needs them."""
    f = pointwise(GROUPED[text])
    for values in POINTS:
        expected = [np.float64(eval(text, dict(zip(LETTERS, map(np.float64, values), strict=True))))]
        same(triton(f, values), expected)
        same(cpp(f, values), expected)


def test_no_more_brackets_than_needed():
    """Printed functions are read by people."""
    for text in ("a - (b - c)", "a - b - c", "a / (b * c)", "(a + b) * c", "-(a + b)", "a / b * c", "a + (b - c)"):
        assert f"return ({text},)" in print_source(pointwise(GROUPED[text]), TRITON)


def test_minimal_as_printed():
    """The step that `bench show` prints: the cell's own names, one line for each."""
    expected = "@triton.jit\ndef step(h, uh, z):\n    u = sigmoid(uh)\n    return (u * h + (1.0 - u) * z,)\n"
    assert print_source(plan(cells.load("minimal")).step, TRITON) == expected


def test_names_that_are_taken():
    """What the printed code means by a name, the cell can't mean."""
    graph = Graph()
    inputs = tuple(graph.leaf("state", name) for name in ("tl", "triton", "tanh", "splat", "V", "out", "t0", "sigmoid"))
    total = inputs[0]
    for leaf in inputs[1:]:
        total = total * total + leaf.apply(FUNCTIONS["tanh"])
    f = Pointwise("f", inputs, (total,), ("r",))
    values = tuple(k / 8 for k in range(len(inputs)))
    same(triton(f, values), evaluate(f, values))
    same(cpp(f, values), evaluate(f, values))


needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def built(text: str, folder) -> ctypes.CDLL:
    """The library of `text`, printed functions over `typedef double V`, each operation rounded as written."""
    path = folder / "f.cpp"
    path.write_text("#include <cmath>\ntypedef double V;\nstatic V splat(double x) { return x; }\nstatic V tanh_(V x);\n" + text)
    subprocess.run(["g++", "-O1", "-ffp-contract=off", "-shared", "-fPIC", str(path), "-o", f"{folder}/f.so"], check=True)
    return ctypes.CDLL(f"{folder}/f.so")


@needs_compiler
def test_grouping_compiled(tmp_path):
    """The C++ that a compiler reads, not just its look."""
    printed = {f"f{k}": pointwise(tree) for k, tree in enumerate(GROUPED.values())}
    text = "".join(print_source(f, CPP).replace("inline void f(", f'extern "C" void {name}(') for name, f in printed.items())
    library = built(text, tmp_path)
    for name, f in printed.items():
        for values in POINTS:
            out = (ctypes.c_double * 1)()
            getattr(library, name)((ctypes.c_double * 3)(*values), out)
            same(list(out), evaluate(f, values))


KEYWORDS = """
    alignas alignof asm auto bitand bitor bool case catch char compl const constexpr const_cast decltype default delete do double
    dynamic_cast enum explicit export extern false float friend goto inline int long mutable namespace new noexcept not_eq nullptr
    operator or_eq private protected public register reinterpret_cast short signed sizeof static static_assert static_cast struct
    switch template this thread_local throw true typedef typeid typename typeof union unsigned using virtual void volatile wchar_t xor
""".split()  # noqa: SIM905


@needs_compiler
def test_keywords_of_cpp(tmp_path):
    """A cell may use any name that Python allows."""
    graph = Graph()
    inputs = tuple(graph.leaf("state", word) for word in KEYWORDS)
    total = inputs[0]
    for leaf in inputs[1:]:
        total = total + leaf
    f = Pointwise("f", inputs, (total,), ("r",))
    library = built(print_source(f, CPP).replace("inline void f(", 'extern "C" void f('), tmp_path)
    out = (ctypes.c_double * 1)()
    library.f((ctypes.c_double * len(KEYWORDS))(*range(len(KEYWORDS))), out)
    assert out[0] == sum(range(len(KEYWORDS)))

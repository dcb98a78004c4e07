"""What is printed as Triton and as C++ computes what the graph says, to the last bit."""

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cells
from cells.grammar.functions import FUNCTIONS
from kernels.derive.adjoint import CPP, TRITON, adjoint, print_source
from kernels.derive.graph import Graph
from kernels.derive.plan import plan
from kernels.derive.plan_types import Pointwise
from tests.expressions import (
    EVERY,
    LETTERS,
    POINTS,
    TREES,
    cpp,
    evaluate,
    overflow,
    pointwise,
    same,
    triton,
)

__all__ = ["overflow"]


@settings(max_examples=200)
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

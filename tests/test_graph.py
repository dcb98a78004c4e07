"""The graph of a step: shared nodes, the cell's own names, the order and grouping that the cell wrote."""

import cProfile
import sys

import pytest
import sympy

import cells
from cells import Cell, CellError
from cells.grammar.functions import relu, sigmoid, tanh
from kernels.derive.graph import Graph, walk
from kernels.derive.symbolic import to_sympy
from kernels.derive.trace import trace


@pytest.fixture
def h():
    return Graph().leaf("state", "h")


def test_sharing(h):
    """The same operation on the same nodes is one node; another order of operands is another."""
    c = h.graph.leaf("state", "c")
    assert h + c is h + c and tanh(h * c) is tanh(h * c)
    assert h + c is not c + h and h - c is not c - h
    assert h.graph.leaf("state", "h") is h and h.graph.leaf("b", "h") is not h
    assert h.graph.product("a", h) is h.graph.product("a", h) is not h.graph.product("b", h)
    assert h * 2 is h * 2.0 is not 2 * h


def test_graphs_are_apart(h):
    assert Graph().leaf("state", "h") is not h


def test_operators(h):
    """Each of Python's operators is one node, numbers on either side."""
    c = h.graph.leaf("state", "c")
    written = [(h + c, "add"), (h - c, "sub"), (h * c, "mul"), (h / c, "div"), (-h, "neg"), (tanh(h), "call"), (relu(h), "call")]
    assert [node.op for node, _ in written] == [op for _, op in written]
    for node, left in ((2 - h, 2.0), (2 / h, 2.0), (2 + h, 2.0), (3 * h, 3.0)):
        assert node.args[0].value == left and node.args[1] is h
    for node in (h - 2, h / 2, h + 2, h * 2):
        assert node.args[0] is h and node.args[1].value == 2.0
    assert h.value is None


def test_powers_are_products(h):
    """Triton has no `**`. Other powers are those of positive values."""
    assert h**1 is h
    assert (h**3).op == "mul" and (h**3).args[1] is h * h
    assert (h**-2).op == "div" and (h**-2).args[1] is h * h
    assert (h**10**9).depth < 60, "squares of squares"
    assert (h**0.5).label == "sqrt" and (h**1.5).label == (h**h).label == "power" and (2**h).label == "exp"
    for exponent in (0, "2"):
        with pytest.raises(CellError, match="a power must be a number but 0, or a value"):
            h**exponent
    for base in (-2, 0):
        with pytest.raises(CellError, match="the base of a power must be positive"):
            base**h


def test_only_what_changes_nothing_is_folded(h):
    assert h + 0 is h and 0 + h is h and h - 0 is h and h * 1 is h and 1 * h is h and h / 1 is h
    assert (h * 0).value == 0 and (h * -1).op == "neg"
    assert (0 - h).op == "sub" and (1 / h).op == "div" and (h + 1).op == "add"
    large = (h + 1e8) - 1e8
    assert large.op == "sub" and large.args[0].op == "add"


def test_no_branches(h):
    """A cell is traced once: `if`, `and`, `max` and their like are told so."""
    with pytest.raises(CellError, match="can't branch on a value"):
        _ = h if h else -h


def test_no_strangers(h):
    with pytest.raises(TypeError):
        h + "1"


def test_walk(h):
    """Arguments come before what uses them, each node once."""
    a = tanh(h)
    out = a * a + a
    order = list(walk([out, a]))
    assert len(order) == len(set(map(id, order))) == 4
    place = {id(n): k for k, n in enumerate(order)}
    assert all(place[id(arg)] < place[id(node)] for node in order for arg in node.args)


def test_names_are_the_cells_own():
    """A node is called what the equations call it, where they do."""
    _, (h, c) = trace(cells.load("lstm"))
    assert c.name == "c" and c.op == "add" and h.name == ""
    named = {n.name for n in walk([h, c]) if n.op not in ("state", "x", "b")}
    assert named == {"i", "f", "g", "o", "c", ""}


def test_names_of_one_value():
    """The first name given to a value stays; a number has none."""

    def renamed(h, x, W, b):
        first = tanh(W.h(h))
        second = first
        one = 1
        return second * one

    _, (out,) = trace(Cell(renamed))
    assert out.name == "first"


@pytest.mark.parametrize("install", [cProfile.Profile, lambda: None], ids=["cProfile", "a profiler of one's own"])
def test_trace_leaves_the_profiler_alone(install):
    """cProfile's is no function, and can't be put back by sys.setprofile."""
    profile, before = install(), sys.getprofile()
    profile.enable() if profile else sys.setprofile(lambda *_: None)
    mine = sys.getprofile()
    try:
        _, (out,) = trace(cells.load("vanilla"))
        still = sys.getprofile()
    finally:
        profile.disable() if profile else sys.setprofile(before)
    assert still is mine
    assert out.name == "" if mine else sys.version_info >= (3, 12), "since Python 3.12 cProfile leaves sys.setprofile to others"
    _, (update, *_) = trace(cells.load("lstm"))
    assert {"i", "f", "g", "o"} <= {n.name for n in walk([update])}


def test_bias_is_zero_without():
    _, (out,) = trace(cells.load("vanilla"), bias=False)
    assert not [n for n in walk([out]) if n.op == "b"]
    _, (out,) = trace(cells.load("vanilla"))
    assert [n.label for n in walk([out]) if n.op == "b"] == ["h"]


def test_widths():
    """x has D elements, a product H; both in one operation need D = H."""
    graph = Graph()
    x, h = graph.leaf("x", "x", "D"), graph.leaf("state", "h")
    assert tanh(x).width == "D" and graph.product("a", x).width == "H" and (x * h).width == "D=H"
    assert (x * 2).width == "D" and graph.product("a", x * h).width == "H"


def test_sympy():
    """SymPy gets the same expression, over real symbols, with exact numbers."""
    graph = Graph()
    a, b = graph.leaf("state", "a"), graph.leaf("term", "b")
    A, B = sympy.Symbol("state_a", real=True), sympy.Symbol("term_b", real=True)
    assert to_sympy(a - b * 0.5) == A - B / 2
    assert to_sympy(-(a / b)) == -A / B
    assert to_sympy(tanh(a)) == sympy.tanh(A)
    assert sympy.simplify(to_sympy(sigmoid(a + b)) - 1 / (1 + sympy.exp(-A - B))) == 0
    assert to_sympy(graph.product("W", a)) == sympy.Symbol("product_W", real=True)


def test_arithmetic_has_derivatives_and_leaves_have_none(h):
    c, d = h.graph.leaf("state", "c"), h.graph.leaf("upstream", "d")
    assert (h * c).vjp(d) == (d * c, d * h) and (h + c).vjp(d) == (d, d)
    assert (h - c).vjp(d) == (d, -d) and (-h).vjp(d) == (-d,)
    assert (h / c).vjp(d) == (d / c, -(d / c * (h / c)))
    with pytest.raises(ValueError, match="state has no derivative"):
        h.vjp(d)

"""What a cell's signature means, the shapes of what it learns, its steps, and what is refused."""

import pytest
import torch

import cells
from cells import Cell, CellError, cell
from cells.grammar.functions import sigmoid, tanh
from kernels.derive.cost_formulas import parameter_sizes
from kernels.derive.plan import plan
from tests.reference import outputs, problem

EVERY = pytest.mark.parametrize("name", cells.names())


@EVERY
@pytest.mark.parametrize("bias", [True, False])
def test_shapes(name, bias):
    """Every learned value in the order the equations use it: matrices (H, width of what they are applied to) or the blocks of one,
    vectors (H), scalars (1)."""
    found = cells.load(name)
    H = plan(found).round_up_width(5)
    shapes = found.shapes(H if plan(found).elementwise_input else 3, H, bias)
    for key, shape in shapes.items():
        heads = found.heads.get(key, 1)
        square = (heads, H // heads, H // heads) if heads > 1 else (H, H)
        assert shape in {"W": ((H, 3), square), "s": ((1,),)}.get(key[0], ((H,),))
    assert any(key.startswith("b.") for key in shapes) == (bias and "b" in found.letters)
    assert list(shapes) == list(parameter_sizes(plan(found, bias)))


def test_peepholes_stay_without_bias():
    """`bias=False` drops `b` and leaves `p`."""

    @cell()
    def peeping(h, x, W, b, p):
        return tanh(W.x(x) + p.h * h + b.h)

    assert peeping.shapes(3, 5) == {"W.x": (5, 3), "p.h": (5,), "b.h": (5,)}
    assert peeping.shapes(3, 5, bias=False) == {"W.x": (5, 3), "p.h": (5,)}


@EVERY
def test_unroll(name):
    """Time-major shapes, the final state the last output, and nothing but the initial states at T = 0."""
    H = plan(cells.load(name)).round_up_width(7)
    p = problem(cells.load(name), 4, 3, H if plan(cells.load(name)).elementwise_input else 5, H)
    found = outputs(p, "eager")
    assert found["y"].shape == (4, 3, H)
    assert torch.equal(found["y"][-1], found[f"final {p.cell.states[0]}"])
    y, final = p.cell.unroll(p.given["x"][:0], [p.given[s] for s in p.cell.states], p.weights)
    assert y.shape == (0, 3, H) and all(torch.equal(f, p.given[s]) for f, s in zip(final, p.cell.states, strict=True))


def one_state(h, x, W, b):
    return tanh(W.x(x) + W.h(h) + b.h)


def two_states(h, c, x, W, b):
    return sigmoid(W.h(h)), c


def test_states():
    """What stands before x are the states, the output first."""
    assert Cell(one_state).states == ("h",)
    assert Cell(two_states).states == ("h", "c")
    assert Cell(one_state).name == "one_state"


def no_input(h, W, b):
    return tanh(W.h(h) + b.h)


def no_state(x, W, b):
    return tanh(W.x(x) + b.h)


def strange(h, x, W, b, q):
    return tanh(W.h(h) + q)


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (no_input, r"no_input: write the states, then `x`: def no_input\(h, x, W, b\)"),
        (no_state, r"no_state: write the states, then `x`"),
        (strange, "strange: after `x` come only W, b, p and s, not q"),
    ],
)
def test_wrong_signatures(step, message):
    with pytest.raises(CellError, match=message):
        _ = Cell(step).states


def one_of_two(h, c, x, W, b):
    return tanh(W.h(h) + W.x(x))


def two_of_one(h, x, W, b):
    return tanh(W.h(h)), tanh(W.x(x))


@pytest.mark.parametrize("step", [one_of_two, two_of_one])
def test_wrong_returns(step):
    """The message says what to return, and it comes before anything is computed."""
    with pytest.raises(CellError, match=rf"{step.__name__}: returns . states, its signature has ."):
        Cell(step).shapes(3, 5)
    with pytest.raises(CellError, match="return the next h"):
        plan(Cell(step))


def test_one_matrix_of_two_shapes():
    def doubly(h, x, W, b):
        return tanh(W.a(x) + W.a(h))

    with pytest.raises(CellError, match=r"W\.a is applied to widths 3 and 5: use two names"):
        Cell(doubly).shapes(3, 5)


def test_facts():
    """`@cell(…)` makes a Cell of a function and keeps what is known about it."""
    made = cell(paper="Someone 2020", parameters="H")(one_state)
    assert (made.name, made.paper, made.parameters, made.torch_equivalent) == ("one_state", "Someone 2020", "H", None)

"""The numerical proof of a derived adjoint: it lets right ones pass, each once, and no wrong one."""

import dataclasses

import pytest
import torch

import cells
from cells import Cell, CellError
from cells.grammar.functions import FUNCTIONS, exp, log, maximum, softmax, tanh, where
from kernels.derive.plan import plan
from kernels.layer import gradcheck as checks
from kernels.layer.gradcheck import describe_mismatch, gradcheck, sample_inputs
from tests import custom


@pytest.fixture(autouse=True)
def folder(monkeypatch, tmp_path):
    """A cache folder of its own."""
    monkeypatch.setattr(checks, "cache_folder", lambda: tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", [*cells.names(), *custom.CELLS])
def test_right_ones_pass(name):
    gradcheck(plan(custom.CELLS.get(name) or cells.load(name)))


def test_once(monkeypatch, folder):
    """By what is derived: the second time nothing is computed, and another cell is another one."""
    gradcheck(plan(cells.load("gru_reset_before")))
    assert len(list(folder.iterdir())) == 1
    monkeypatch.setattr(checks, "sample_inputs", lambda *_: pytest.fail("it was proven before"))
    gradcheck(plan(cells.load("gru_reset_before")))
    with pytest.raises(pytest.fail.Exception):
        gradcheck(plan(cells.load("gru")))


@pytest.mark.parametrize("name", ["tanh", "sigmoid", "softplus", "exp", "maximum", "where", "sqrt"])
def test_wrong_derivatives_do_not(monkeypatch, folder, name):
    """A thousandth too much."""
    f = FUNCTIONS[name]

    def more(*arguments):
        return tuple(1.001 * d for d in f.partials(*arguments))

    partials = {1: lambda v, y: more(v, y), 2: lambda a, b, y: more(a, b, y), 3: lambda c, a, b, y: more(c, a, b, y)}[f.arity]

    def bent(h, c, x, W, b):
        values = [W.h(h) + 0.1, c, x][: f.arity]
        values[0] = values[0] > 0 if name == "where" else values[0] * values[0] + 0.1
        return f(*values) + c * W.x(x), h

    monkeypatch.setitem(FUNCTIONS, name, dataclasses.replace(f, partials=partials, gradients=None))
    with pytest.raises(CellError, match=r"the derived gradient of step is off by .* of what differences say \(File"):
        gradcheck(plan(Cell(bent)))
    assert not list(folder.iterdir()), "what failed is not remembered"


def test_a_stage_is_checked_too(monkeypatch):
    """A wrong derivative of what only the operand of a later product applies."""
    f = FUNCTIONS["exp"]

    def gated(h, x, W, b):
        return tanh(W.h(exp(W.r(h))) + W.x(x))

    monkeypatch.setitem(FUNCTIONS, "exp", dataclasses.replace(f, partials=lambda v, y: tuple(1.001 * d for d in f.partials(v, y))))
    with pytest.raises(CellError, match=r"the derived gradient of stage\d is off"):
        gradcheck(plan(Cell(gated)))


def test_differences_of_steep_functions():
    """Differences are off by more than the tolerance for a quotient whose divisor comes near 0. Its width fits the heads of a sum."""

    def steep(h, x, W):
        return h / (W.h(h) + W.x(x)) ** 2 + softmax(h, heads=3)

    made = plan(Cell(steep))
    assert made.round_up_width(8) == 9
    gradcheck(made)


def test_a_gradient_that_is_not_finite():
    """The side that isn't taken, as torch has it too; kept finite it passes."""

    def careless(h, x, W, b):
        return where(h > 0, log(h + 0 * W.x(x)), 0.0) + W.x(x)

    def reckless(h, x, W, b):
        return where(h > 0, log(maximum(h, 0.0)), 0.0) + W.x(x)

    def careful(h, x, W, b):
        return where(h > 0, log(maximum(h, 1e-6)), 0.0) + W.x(x)

    with pytest.raises(CellError, match="its gradient is not finite where its values are: where"):
        gradcheck(plan(Cell(reckless)))
    gradcheck(plan(Cell(careful)))
    gradcheck(plan(Cell(careless)))


def test_values_are_those_of_a_step():
    """Each input as it is met, not drawn: z of MinimalRNN lies within ±1, an input of slstm's n within its domain."""
    made = plan(cells.load("minimal"))
    given = sample_inputs(made, torch.Generator().manual_seed(0))
    assert set(given) == set(made.step.inputs)
    z = given[made.term_leaves[1]]
    assert z.abs().max() < 1 and z.std() > 0.3
    slstm = plan(cells.load("slstm"))
    n = sample_inputs(slstm, torch.Generator().manual_seed(0))[slstm.states[2]]
    assert 1 <= n.min() < n.max() <= 2
    assert describe_mismatch(made.step, given, torch.Generator().manual_seed(1)) == ""

"""The rewritings of a cell by a mask: what they are made of, and that nothing of the cell changes."""

import copy
import pickle

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import prev, tanh
from cells.grammar.masked import KEEP, LENGTHS, RESET, RESETS, masked, start_name
from kernels import RNN
from kernels.derive.adjoint import PYTHON, adjoint, print_source
from kernels.derive.plan import plan


def outputs(output, output_, x, W):
    """Two states whose names are those that a rewriting would take, and a number and a vector as a next state."""
    return tanh(W.x(x) + W.h(output)) * output_, 0.5


def test_a_rewriting_is_made_once_and_says_what_the_cell_does():
    lstm = cells.load("lstm")
    assert masked(lstm, "") is lstm and masked(lstm, RESETS) is masked(lstm, RESETS) is not masked(lstm, LENGTHS)
    for kind in (LENGTHS, RESETS):
        assert (masked(lstm, kind).name, masked(lstm, kind).shapes(3 + 1, 4)) == ("lstm", lstm.shapes(3, 4))
    assert pickle.loads(pickle.dumps(lstm)) is lstm is copy.deepcopy(lstm)


def test_no_state_is_called_what_the_output_is():
    made = masked(Cell(outputs), RESETS)
    assert len({*made.states}) == 3 and made.states[1:] == ("output", "output_")
    y, _ = RNN(Cell(outputs), 3, 4, backend="eager")(torch.randn(3, 2, 3), reset=torch.ones(3, 2, dtype=torch.bool))
    assert not y.any(), "the second state begins at 0 in every step"


@pytest.mark.parametrize("kind", [LENGTHS, RESETS])
def test_the_mask_is_one_term_and_no_product_has_an_operand_more(kind):
    for name in ("lstm", "gru_reset_before", "qrnn"):
        plain, made = plan(cells.load(name)), plan(masked(cells.load(name), kind))
        assert len(made.terms) == len(plain.terms) + 1 and made.is_masked and not plain.is_masked
        assert [s.argument is None for s in made.stages] == [s.argument is None for s in plain.stages]


def before(h, x, W):
    return tanh(W.h(h) + W.x(prev(x)))


def test_a_step_by_the_value_of_its_mask():
    """The states go on, stay, or begin anew behind the output; prev(x) is 0 behind a reset alone."""
    cell = Cell(before, start={"h": 0.25})
    weights = {"W.h": torch.eye(2), "W.x": torch.eye(2), f"p.{start_name('h')}": torch.full((2,), 0.25)}
    h, rows, last = torch.full((3, 2), 0.5), torch.tensor([0.0, KEEP, RESET])[:, None], torch.ones(3, 2)
    x = torch.cat([torch.zeros(3, 2), rows], 1)
    y, (_, new) = masked(cell, RESETS).unroll(x[None], [torch.zeros(3, 2), h], weights, torch.cat([last, rows], 1))
    wanted = torch.tanh(h + torch.tensor([1.0, 1.0, 0.0])[:, None])
    assert torch.allclose(y[0], wanted) and torch.allclose(new[0], wanted[0])
    assert torch.equal(new[1], h[1]) and torch.equal(new[2], torch.full((2,), 0.25))
    kept, _ = masked(cell, LENGTHS).unroll(x[None], [h], weights)
    assert torch.equal(kept[0, 1], h[1]) and torch.allclose(kept[0, 0], torch.tanh(h[0]))


def test_a_gradient_that_is_left_out_is_not_multiplied():
    """By 0, which leaves NaN what is NaN."""
    step = adjoint(plan(masked(cells.load("vanilla"), RESETS)).step)
    assert "where(t0, 0.0, d_h_next)" in print_source(step, PYTHON).replace("less(0.0, x_mask)", "t0")

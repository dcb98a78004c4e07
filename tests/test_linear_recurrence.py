"""Cells as the recurrence that their scans take, over torch's own: right for those that can be, and refused for the others."""

import pytest
import torch

from bench.harness.cases import is_planned
from bench.harness.settings import Settings
from bench.measure.backends import Unsupported, build_workload
from bench.measure.gate import compare_answer
from bench.measure.linear_recurrence import derive_recurrence, is_linear_recurrence
from bench.measure.problem import Problem, make_problem
from cells import load
from cells.grammar.cell import Cell
from cells.grammar.functions import sigmoid, tanh
from kernels.derive.graph import walk
from kernels.derive.plan import plan
from tests import custom

TAKEN = ["mingru", "minlstm", "qrnn", f"{custom.__file__}:decaying"]
"""Of a state that is the output, and of one that isn't."""

SETTINGS = Settings(("mingru", "sru", "lstm"), ("associative",), (4,), (2,), (8,), 8, "float64", "ieee", "cpu", 0, False)


def late(h, c, x, W, b):
    """An output of the state before it, and a slope that is a number."""
    return sigmoid(W.o(x)) * c + b.h, tanh(W.z(x)) - 0.5 * c


def given(name: str, T: int, B: int) -> Problem:
    return make_problem(name, T, B, 5, 17, "float64", "cpu", 0)


@pytest.mark.parametrize("name", TAKEN, ids=["mingru", "minlstm", "qrnn", "decaying"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 3)], ids=str)
def test_right(name, size):
    """Outputs, final states and every gradient, through initial states too."""
    p = given(name, *size)
    errors, wrong = compare_answer(p, build_workload("associative", p).answer(), 1e-12)
    assert not wrong, wrong
    assert errors.output < 1e-12 and errors.gradient < 1e-12


@pytest.mark.parametrize("name", ["indrnn", "lstm", f"{custom.__file__}:rotating", f"{custom.__file__}:forgetful"])
def test_refused(name):
    """Not affine, with a product, of two states, of none."""
    p = given(name, 3, 2)
    assert not is_linear_recurrence(plan(p.cell))
    with pytest.raises(Unsupported, match="affine in one state"):
        build_workload("associative", p)


def test_rows_where_it_can():
    assert [cell for cell in SETTINGS.cells if is_planned(SETTINGS, cell, "associative", True)] == ["mingru"]


@pytest.mark.parametrize("size", [(1, 1), (7, 3)], ids=str)
def test_a_state_that_is_read_late(size):
    p = Problem("late", Cell(late), *size, 5, 17, torch.float64, torch.device("cpu"), 0)
    errors, wrong = compare_answer(p, build_workload("associative", p).answer(), 1e-12)
    assert not wrong and errors.output < 1e-12 and errors.gradient < 1e-12


@pytest.mark.parametrize("name", ["mingru", "minlstm", "qrnn"])
def test_nothing_is_computed_for_nothing(name):
    """No product with a 0 or a 1, no state in a or b, and o c reads the new c alone."""
    found = derive_recurrence(plan(load(name)))
    coefficients = set(walk([found.slope, found.offset]))
    assert not {"state", "upstream"} & {node.op for node in coefficients}
    assert {node for node in walk(found.outputs) if node.op == "state"} == {found.after}
    assert not [n for n in coefficients if n.op == "mul" and {arg.value for arg in n.args} & {0.0, 1.0}]

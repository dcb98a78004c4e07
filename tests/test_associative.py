"""The peer of `scan` that torch has: right for the cells that it can take, and refused for the others."""

import pytest

from bench.cases import planned
from bench.measure.associative import suited
from bench.measure.backends import Unsupported, build
from bench.measure.gate import compare
from bench.measure.problem import Problem, problem
from bench.settings import Settings
from kernels.plan import plan
from tests import custom

TAKEN = ["mingru", "minlstm", "qrnn", f"{custom.__file__}:decaying"]
"""Of a state that is the output, and of one that isn't."""

SETTINGS = Settings(("mingru", "sru", "lstm"), ("associative",), (4,), 2, 8, 8, "float64", "ieee", "cpu", 0, False)


def given(name: str, T: int, B: int) -> Problem:
    return problem(name, T, B, 5, 17, "float64", "cpu", 0)


@pytest.mark.parametrize("name", TAKEN, ids=["mingru", "minlstm", "qrnn", "decaying"])
@pytest.mark.parametrize("size", [(1, 1), (2, 1), (7, 3)], ids=str)
def test_right(name, size):
    """Outputs, final states and every gradient, through initial states too."""
    p = given(name, *size)
    errors, wrong = compare(p, build("associative", p).answer(), 1e-12)
    assert not wrong, wrong
    assert errors.output < 1e-12 and errors.gradient < 1e-12


@pytest.mark.parametrize("name", ["indrnn", "lstm", f"{custom.__file__}:rotating", f"{custom.__file__}:forgetful"])
def test_refused(name):
    """Not affine, with a product, of two states, of none."""
    p = given(name, 3, 2)
    assert not suited(plan(p.cell))
    with pytest.raises(Unsupported, match="affine in one state"):
        build("associative", p)


def test_rows_where_it_can():
    assert [cell for cell in SETTINGS.cells if planned(SETTINGS, cell, "associative", True)] == ["mingru"]

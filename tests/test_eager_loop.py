"""The eager loop over given rows: what the cell itself is, and only for a cell with no product in its loop."""

import pytest
import torch

import cells
from bench.harness.cases import is_planned
from bench.harness.settings import Settings
from bench.measure import eager_loop
from bench.measure.backends import Unsupported, build_workload
from bench.measure.gate import compare_answer
from bench.measure.problem import make_problem
from kernels.derive.plan import plan
from tests import custom

OWN = [f"{custom.__file__}:{name}" for name in custom.ELEMENTWISE]
TAKEN = [name for name in cells.names() if eager_loop.has_eager_loop(plan(cells.load(name)))] + OWN
SETTINGS = Settings(("mingru", "sru", "lstm", "wave"), ("eager",), (4,), (2,), (8,), 8, "float64", "ieee", "cpu", 0, False)


def test_which():
    assert {"indrnn", "sru", "qrnn", "mingru", "minlstm"} <= {*TAKEN}
    assert [cell for cell in SETTINGS.cells if is_planned(SETTINGS, cell, "eager", False)] == ["mingru", "sru"]


@pytest.mark.parametrize("name", TAKEN, ids=lambda name: name.rpartition(":")[2])
@pytest.mark.parametrize("size", [(1, 1), (7, 3)], ids=str)
def test_right(name, size):
    """Outputs, final states and every gradient, through initial states too."""
    p = make_problem(name, *size, 17, 17, "float64", "cpu", 0)
    errors, wrong = compare_answer(p, build_workload("eager", p, input_product=False).answer(), 1e-12)
    assert not wrong, wrong
    assert errors.output < 1e-12 and errors.gradient < 1e-12


def test_the_same_rows():
    """It is given what a schedule is given, and asked for the same gradients."""
    p = make_problem("sru", 5, 2, 17, 17, "float64", "cpu", 0)
    one, other = (build_workload(backend, p, input_product=False) for backend in ("eager", "compiled"))
    assert all(torch.equal(a, b) for a, b in zip(one.inputs, other.inputs, strict=True))
    for mine, theirs in zip(one.train(), other.train(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", ["lstm", "wave"])
def test_refused(name):
    p = make_problem(name, 3, 2, *((1, plan(cells.load(name)).fixed_width) if name == "wave" else (5, 17)), "float64", "cpu", 0)
    with pytest.raises(Unsupported, match="always computes the input product"):
        build_workload("eager", p, input_product=False)

"""The linearised step against torch's derivatives of the equations, and as it is printed."""

import pytest
import torch

import cells
from cells.grammar.functions import tanh
from kernels.derive.adjoint import CPP, TRITON, print_source
from kernels.derive.linearised import linearise, list_diagonals
from kernels.derive.plan import plan
from kernels.layer.autograd import make_pass_inputs
from kernels.layer.input_products import recurrence_operands
from kernels.schedules.newton import cpu_form, newton
from kernels.schedules.newton.systems import ForwardSystem
from tests import custom
from tests.reference import given_cell
from tests.sampling import sample
from tests.tolerances import TOLERANCE

PLANS = {name: plan(custom.CELLS.get(name) or cells.load(name)) for name in (*cells.names(), *custom.CELLS)}
NAMES = [name for name, made in PLANS.items() if not made.stencil_inputs and not made.reduces_states]
B, H = 2, 8


@sample("name", NAMES)
def test_values_and_slopes(name):
    """Of one step from random states: next states, and what a unit reads of itself, recurrent diagonals included. Behind a second stage a
    unit also reads itself by way of others, which the slopes leave out: matrices are diagonal there."""
    p = given_cell(name, 1, B, 3, H, dtype=torch.float64)
    states = [p.given[s] for s in p.cell.states]
    made = plan(p.cell)
    if len(made.stages) > 1:
        p = p.with_given(**{f"W.{m}": p.given[f"W.{m}"] * torch.eye(H) for m in made.recurrent})
    inputs = make_pass_inputs(made, newton, False, 1, [*recurrence_operands(made, p.given["x"], H, p.weights), *states])
    system = ForwardSystem(inputs, inputs.allocate_result(), cpu_form.evaluate)
    system.evaluate()
    expected = p.cell.unroll(p.given["x"], states, p.weights)[1]
    for value, state in zip(system.values, expected, strict=True):
        assert torch.allclose(value[0], state, rtol=1e-12, atol=1e-13)
    jacobian = torch.autograd.functional.jacobian(lambda *given: p.cell.unroll(p.given["x"], given, p.weights)[1], tuple(states))
    for by, expected_by in zip(system.slopes, jacobian, strict=True):
        for slope, whole in zip(by, expected_by, strict=True):
            within = torch.einsum("bhbh->bh", whole)
            assert (slope[0] - within).abs().max() <= TOLERANCE["schedule", torch.float64] * (1 + within.abs().max())


def test_printed():
    """In both languages, with the diagonals as vectors; the step and its adjoint are printed as before."""
    made = plan(cells.load("minimal"))
    f = linearise(made)
    assert list_diagonals(made) == ("uh",) and [n.label for n in f.inputs] == ["h", "uh", "z", "diagonal_uh"]
    assert "(u * t1) * diagonal_uh" in print_source(f, TRITON) and "v_diagonal_uh" in print_source(f, CPP)


@pytest.mark.parametrize("name", ["mingru", "sru"])
def test_without_a_product(name):
    assert not list_diagonals(plan(cells.load(name)))


def test_a_matrix_that_is_applied_twice():
    """Its diagonal is one input, and both products count."""

    def twice(h, c, x, W, b):
        return tanh(W.h(h) + W.x(x)), W.h(c) + b.c

    made = plan(cells.Cell(twice))
    assert list_diagonals(made) == ("h",) and len(made.recurrent) == 2

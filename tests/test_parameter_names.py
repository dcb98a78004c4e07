"""The names of a layer's parameters: weight or bias first, by what each does."""

import pytest

from cells.grammar.cell import Cell
from cells.grammar.functions import maximum, sigmoid, tanh
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer.parameter_names import name_parameters


def factor(h, x, W, p, s):
    return sigmoid(p.a) * tanh(W.x(x) / s.q) + (1 - p.c) * h


def addend(h, x, W, p, s):
    return tanh(W.x(x) - p.a * p.c + s.q)


def both(h, x, W, p, s):
    return tanh(W.x(x) * p.a + p.a) + p.c * p.c * h + maximum(h, s.q)


def same_label(h, x, W, b, p):
    return tanh(W.c(x) + W.p_c(h) + p.c * h + b.c)


@pytest.mark.parametrize(
    ("step", "names"),
    [
        (factor, {"p.a": "weight_a", "s.q": "weight_q", "p.c": "weight_c"}),
        (addend, {"p.a": "bias_a", "p.c": "bias_c", "s.q": "bias_q"}),
        (both, {"p.a": "weight_a", "p.c": "weight_c", "s.q": "bias_q"}),
        (same_label, {"W.c": "weight_c", "W.p_c": "weight_p_c", "p.c": "weight_p_p_c", "b.c": "bias_c"}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_vector_is_named_by_what_it_does(step, names):
    cell = Cell(step)
    found = name_parameters(plan(cell), cell.shapes(3, 4))
    assert [*found] == [*cell.shapes(3, 4)] and len({*found.values()}) == len(found)
    assert {name: found[name] for name in names} == names


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("minimal", "weight_z bias_z weight_uh weight_uz bias_u"),
        ("lstm_peephole", "weight_ix weight_ih weight_i bias_i weight_fx weight_fh weight_f bias_f weight_gx weight_gh bias_g weight_ox "
                          "weight_oh weight_o bias_o"),
        ("fastgrnn", "weight_ax weight_ah bias_z bias_h weight_zeta bias_nu"),
        ("wave", "weight_c weight_b weight_source"),
    ],
)  # fmt: skip
def test_names_in_a_layer(cell, names):
    """In the order of the equations, with the suffix of the layer."""
    assert [name for name, _ in RNN(cell, 16, 16).named_parameters()] == [f"{name}_l0" for name in names.split()]

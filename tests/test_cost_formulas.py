"""Parameters, operations and elements of a plan, as the papers count them."""

import math

import pytest
import sympy

import cells
from kernels.derive.cost_formulas import D, H, elements_moved, flop_counts, parameter_count, parameter_sizes
from kernels.derive.plan import Plan, plan
from tests import custom


def of(name: str) -> Plan:
    return plan(cells.load(name))


def made(name: str) -> Plan:
    return plan(custom.CELLS[name])


EVERY = pytest.mark.parametrize("name", cells.names())


@EVERY
def test_parameter_count(name):
    """The paper's formula, the plan's, and what there is to learn agree."""
    found = cells.load(name)
    formula = sympy.sympify(found.parameters, locals={"D": D, "H": H})
    assert sympy.expand(formula - parameter_count(plan(found))) == 0
    for d, h in ((1, 1), (256, 256)) if plan(found).elementwise_input else ((1, 1), (3, 5), (7, 3), (256, 256)):
        h = plan(found).round_up_width(h)
        shapes = found.shapes(d, h)
        assert sum(map(math.prod, shapes.values())) == formula.subs({D: d, H: h})
        assert {key: math.prod(shape) for key, shape in shapes.items()} == {
            k: v.subs({D: d, H: h}) for k, v in parameter_sizes(plan(found)).items()
        }


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("vanilla", 131_328), ("lstm", 525_312), ("cfn", 328_192), ("minimal", 197_120), ("ugrnn", 262_656), ("mgu", 262_656),
        ("janet", 262_656), ("sru", 197_632), ("mingru", 131_584), ("minlstm", 197_376), ("indrnn", 66_048), ("ligru", 262_656),
        ("lstm_peephole", 526_080), ("slstm", 328_704), ("qrnn", 393_984), ("fastgrnn", 131_586), ("wave", 66_048), ("paragru", 198_144),
    ],
)  # fmt: skip
def test_counts_of_the_papers(name, count):
    """At D = H = 256, one bias per gate."""
    assert parameter_count(plan(cells.load(name))).subs({D: 256, H: 256}) == count


@pytest.mark.parametrize(("units", "count"), [(224, 4_992_656), (731, 19_976_534)])
def test_language_models_of_the_cfn_paper(units, count):
    """Two layers, an embedding and a softmax over 10,000 words: the paper's own totals."""
    layers = 2 * parameter_count(plan(cells.load("cfn"))).subs({D: units, H: units})
    assert layers + 10_000 * (2 * units + 1) == count


@pytest.mark.parametrize(
    ("name", "hoisted", "recurrent"),
    [
        ("vanilla", 2 * H * D, 2 * H**2),
        ("lstm", 8 * H * D, 8 * H**2),
        ("gru", 6 * H * D, 6 * H**2),
        ("gru_reset_before", 6 * H * D, 6 * H**2),
        ("cfn", 6 * H * D, 4 * H**2),
        ("minimal", 2 * H * D + 2 * H**2, 2 * H**2),
        ("minimal_deep", 2 * H * D + 4 * H**2, 2 * H**2),
    ],
)
def test_flops_of_products(name, hoisted, recurrent):
    """Two operations per weight, where it is applied."""
    flops = flop_counts(of(name))
    assert (flops["hoisted"] - hoisted).expand() == 0 and (flops["recurrent"] - recurrent).expand() == 0


def test_flops_of_a_tied_matrix():
    """A matrix that is applied once in front of the loop and once in it counts once in each."""
    flops = flop_counts(made("tied_input"))
    assert flops["recurrent"] == 2 * H**2 and (flops["hoisted"] - 2 * H * D - 2 * H**2).expand() == 0


def test_flops_of_the_step():
    """MinimalRNN's step: the sum with the product, σ, 1 - u, two products and a sum."""
    assert flop_counts(of("minimal"))["pointwise"] == 6 * H
    assert flop_counts(of("vanilla"))["pointwise"] == 2 * H


@pytest.mark.parametrize(("name", "elements"), [("vanilla", 4), ("minimal", 5), ("lstm", 12), ("cfn", 7)])
def test_elements(name, elements):
    """Read and written per step: terms in, terms with a product out, states in and out."""
    assert elements_moved(of(name)) == elements * H

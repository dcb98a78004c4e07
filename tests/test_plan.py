"""The plan: what leaves the loop, what stays in it, and in which stages."""

import pytest

import cells
from cells import Cell
from cells.grammar.functions import tanh
from kernels.derive.cost_formulas import D, H, parameter_count
from kernels.derive.graph import walk
from kernels.derive.plan import Plan, plan
from tests import custom

EVERY = pytest.mark.parametrize("name", cells.names())
EACH = pytest.mark.parametrize("name", cells.DEFAULT)
LEFT = {
    "cfn": ["theta_h", "eta_h"],
    "gru": ["rh", "zh", "nh"],
    "gru_reset_before": ["rh", "uh", "nh"],
    "lstm": ["ih", "fh", "gh", "oh"],
    "minimal": ["uh"],
    "minimal_deep": ["uh"],
    "vanilla": ["hh"],
    "vanilla_relu": ["hh"],
}
"""The H×H products that stay in the loop, of the seed."""


def of(name: str) -> Plan:
    return plan(cells.load(name))


def made(name: str) -> Plan:
    return plan(custom.CELLS[name])


def applied(p: Plan) -> list[list[int]]:
    """How many products each argument has, stage by stage."""
    return [[len(terms) for _, terms in stage.groups] for stage in p.stages]


@EACH
def test_products_in_the_loop(name):
    assert list(of(name).recurrent) == LEFT[name]
    assert applied(of(name)) == ([[2], [1]] if name == "gru_reset_before" else [[len(LEFT[name])]])


@EVERY
def test_a_product_in_the_loop_is_of_a_state(name):
    """Those of the graph whose operand a state reaches, each in one group; the others leave the loop."""
    p, stateful = of(name), set()
    for n in p.ordered_nodes:
        if n.op == "state" or any(a in stateful for a in n.args):
            stateful.add(n)
    assert sorted(p.recurrent) == sorted(n.label for n in p.products if n.args[0] in stateful)
    assert sum(map(sum, applied(p))) == len(p.recurrent)


@pytest.mark.parametrize("name", [name for name in cells.names() if plan(cells.load(name)).stages])
def test_all_else_is_hoisted(name):
    """Nothing that the input alone decides is in the step: no product, and, unless it sums over units, no function of hoisted values."""
    p = of(name)
    for f in (p.step, *(s.argument for s in p.stages if s.argument)):
        nodes = list(walk(f.outputs))
        assert not [n for n in nodes if n.op in ("x", "before", "product", "b", "p", "s")]
        stateful = {n for n in nodes if n.op == "state" or (n.op == "term" and n.label in p.recurrent)}
        for n in nodes:
            if any(a in stateful for a in n.args):
                stateful.add(n)
        assert p.reduces_states or all(n in stateful for n in nodes if n.op == "call")


@pytest.mark.parametrize("name", [name for name in LEFT if not LEFT[name]])
def test_without_a_product_only_products_are_hoisted(name):
    """A term is rows of a product or the input itself, and nothing of either is computed in front of the loop."""
    p = of(name)
    assert all(t.projection is not None or t.hoisted.op == "x" for t in p.terms)
    assert not [n for n in walk(p.step.outputs) if n.op in ("x", "product", "b", "p")]


def test_what_is_elementwise_between_products_is_hoisted():
    """A product's argument is computed in front of it, and the step computes it again where it reads it too."""

    def deep(h, x, W, b, p):
        z = tanh(W.z(x) + b.z)
        return z * W.u(z) + p.h * h + W.a(x) + W.b(x)

    found = plan(Cell(deep))
    assert [t.name for t in found.terms] == ["z", "u", "a", "b"] and all(t.projection is not None for t in found.terms)
    assert found.terms[1].projection.args[0].op == "call"


@pytest.mark.parametrize("name", ["minimal", "minimal_deep"])
def test_nothing_of_phi_in_the_loop(name):
    """The step reads z and one sum; Φ, however deep, and its product into the gate stand in front of the loop."""
    p = of(name)
    assert [t.name for t in p.terms] == ["uh", "z"]
    gate, z = p.terms
    assert gate.projection.label == "uz" and gate.matrix == "uh" and z.matrix == ""
    assert z.hoisted.op == "call" and gate.projection.args[0] is z.hoisted
    assert {n.label for n in walk([z.hoisted]) if n.op == "product"} == ({"a", "z"} if name == "minimal_deep" else {"z"})


def test_gates_join_their_input_products():
    """x's product, h's product and the bias of a gate are one term."""
    for term in of("lstm").terms:
        assert term.projection.label == term.matrix.replace("h", "x")
        assert [n.label for n in walk([term.hoisted]) if n.op == "b"] == [term.matrix[0]]


def test_gru_keeps_its_inner_product_apart():
    """r multiplies W_nh h + b_nh, so that product has no hoisted part and its bias is a vector in the loop."""
    p = of("gru")
    alone = [t for t in p.terms if t.hoisted is None]
    assert [t.matrix for t in alone] == ["nh"]
    assert [n.label for n in p.vector_values] == ["nh"]


@EVERY
@pytest.mark.parametrize("bias", [True, False])
def test_step(name, bias):
    """The step's inputs are the states, the terms, the vectors and what stencils find, its outputs the next states by name."""
    p = plan(cells.load(name), bias)
    assert p.step.inputs == (*p.states, *p.term_leaves, *p.vectors, *p.stencil_leaves)
    assert p.step.results == tuple(f"{s}_next" for s in p.cell.states)
    assert {n for n in walk(p.step.outputs) if not n.args and n.op != "const"} <= set(p.step.inputs)
    if name in cells.DEFAULT:
        assert bool(p.vectors) == (bias and name == "gru")


def test_one_plan_for_a_cell():
    """However it is asked for: plans are the keys of all that is built for them."""
    gru = cells.load("gru")
    assert plan(gru) is plan(gru, True) is plan(gru, bias=True) is not plan(gru, False)


def test_written_as_it_stands():
    """Sums are not folded: (h + 1e8) - 1e8 rounds as it says."""

    @Cell
    def rounding(h, x, W, b):
        return tanh((h + 1e8) - 1e8 + W.x(x))

    total = plan(rounding).step.outputs[0].args[0]
    difference = total.args[1]
    assert difference.op == "sub" and difference.args[1].value == 1e8
    assert difference.args[0].op == "add" and difference.args[0].args[0].op == "state"


def test_constants_stay_in_their_sum():
    """Numbers and vectors that no product in front of the loop takes along stay in the step."""

    @Cell
    def shifted(h, x, W, b):
        return tanh(W.h(h) + 0.5 + b.h) * W.x(x)

    p = plan(shifted)
    assert [t.name for t in p.terms] == ["h", "x"] and [v.label for v in p.vector_values] == ["h"]
    assert [n.value for n in walk(p.step.outputs) if n.op == "const"] == [0.5]

    @Cell
    def joined(h, x, W):
        return tanh(W.h(h) + 0.5 + W.x(x))

    p = plan(joined)
    assert [t.name for t in p.terms] == ["h"] and [n.value for n in walk(p.step.outputs) if n.op == "const"] == [0.5]


@pytest.mark.parametrize(
    ("name", "groups"),
    [
        ("peephole", [[4]]),
        ("independent", []),
        ("second_order", [[1, 1]]),
        ("crossed", [[1, 1]]),
        ("squashed", [[1, 1, 1]]),
        ("nested", [[1], [1], [1]]),
        ("fed_argument", [[1], [1]]),
        ("rational", [[1]]),
        ("reused", [[1]]),
        ("tied", [[1, 1]]),
        ("fed", [[1]]),
    ],
)
def test_stages(name, groups):
    """Products that wait for no other run together, those of one argument as one."""
    assert applied(made(name)) == groups


def test_peepholes():
    """Vectors on a state stay in the loop, those of bias kind leave it with their gate."""
    p = made("peephole")
    assert {(v.op, v.label) for v in p.vector_values} == {("p", "i"), ("p", "f"), ("p", "o")}
    assert parameter_count(p) == 4 * H * D + 4 * H**2 + 7 * H
    assert parameter_count(plan(p.cell, bias=False)) == 4 * H * D + 4 * H**2 + 3 * H


def test_computed_arguments():
    """What a matrix is applied to, where that is no state, is a pointwise function of its own."""
    p = made("squashed")
    (stage,) = p.stages
    assert stage.argument.inputs == p.states and {n.op for n in stage.argument.outputs} == {"call", "mul"}
    second = made("fed_argument").stages[1].argument
    assert {n.label for n in second.inputs} == {"h", "m", "q"}


@pytest.mark.parametrize(("name", "vectors"), [("namesakes", ["b.h", "p.h"]), ("shadowed", ["b.h", "p.forget", "tanh"])])
def test_vectors_keep_apart(name, vectors):
    """Vectors of one name are as many as there are values."""
    p = made(name)
    assert sorted(f"{n.op}.{n.label}".removeprefix("call.") for n in p.vector_values) == vectors
    assert len(set(p.vectors)) == len(vectors)


def test_tied_products_keep_apart():
    """One matrix on two states is two terms with one weight."""
    p = made("tied")
    assert list(p.recurrent) == ["u", "u"] and len({t.name for t in p.terms}) == len(p.terms)
    assert parameter_count(p) == H * D + H**2 + H


def test_vectors_alone_leave_the_loop():
    """What neither state nor input reaches is computed once, not in every step."""
    p = made("gated_vectors")
    assert [(n.op, n.args[0].label) for n in p.vector_values] == [("call", "g")]
    assert [n.args[0].label for n in walk(p.step.outputs) if n.op == "call"] == ["h"]


def test_next_states_of_any_kind():
    """Passed on, hoisted, or a number."""
    assert made("second_order").step.outputs[1] is made("second_order").states[0]
    assert made("fed").step.outputs[1].op == "term" and made("fed").step.outputs[1].label == "c"
    assert made("reset_to_number").step.outputs[1].value == 0.5
    twin = made("twins").step.outputs
    assert twin[0] is twin[1]


def test_square():
    """Whether D must be H: where x meets a state unit by unit, or is itself a next state."""

    @Cell
    def passing(h, c, x, W, b):
        return tanh(W.h(h) + c), x

    @Cell
    def narrow(h, x, W, b):
        return tanh(W.h(h) + W.x(tanh(x) * 2))

    assert made("coupled").elementwise_input and plan(passing).elementwise_input
    assert not plan(narrow).elementwise_input and of("sru").elementwise_input
    assert not any(of(name).elementwise_input for name in cells.DEFAULT)


@EVERY
def test_feeds(name):
    """Every product in front of the loop that a term is made of, found again under the term."""
    for term in of(name).terms:
        if term.projection is not None:
            assert term.projection.op == "product" and term.projection in list(walk([term.hoisted]))


def test_a_feed_is_one_product():
    """Rows that are more than a product and vectors are no feed: they are computed as they stand."""

    @Cell
    def mixed(h, x, W, b):
        return tanh(W.h(h) + W.x(x) * W.y(x) + b.h)

    p = plan(mixed)
    (term,) = [t for t in p.terms if t.hoisted is not None]
    assert term.projection is None and term.matrix == "" and p.recurrent == ("h",)

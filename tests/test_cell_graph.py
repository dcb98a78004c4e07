"""A cell's graph, divided at its time loop: what is before the loop, and which matrices are one product."""

import pytest
import torch

import cells
from bench.measure.cell_graph import CellGraph
from kernels.derive.plan import plan


@pytest.mark.parametrize("cell", cells.names())
def test_joined_weights_come_apart_again(cell):
    loaded = cells.load(cell)
    H = plan(loaded).fixed_width or plan(loaded).round_up_width(4)
    weights = {name: torch.randn(shape) for name, shape in loaded.shapes(H, H).items()}
    graph = CellGraph(plan(loaded))
    found = graph.split_weights(graph.join_weights(weights))
    both = {f"W.{n.matrix}" for n in plan(loaded).products if n.label != n.matrix}  # applied as they are, and transposed
    assert found.keys() == weights.keys()
    assert all(found[name].equal(weights[name] * (2 if name in both else 1)) for name in weights)


def test_one_product_for_the_gates_of_an_operand():
    graph = CellGraph(plan(cells.load("lstm")))
    assert {len(group) for group in graph.groups.values()} == {4} and len({*graph.groups.values()}) == 2


def test_nothing_of_a_state_is_before_the_loop():
    graph = CellGraph(plan(cells.load("gru_reset_before")))
    assert {n.op for n in graph.before} & {"state"} == set() and {n.op for n in graph.inside} >= {"state", "product"}
    assert all(n in graph.before for n in graph.rows)

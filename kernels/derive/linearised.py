"""Derives the linearised step: the next states, and of their derivatives by the states before what stays within a unit.

The derivative of a step by all states is a matrix of S·H rows. What a unit reads of itself is a block of S×S, which is elementwise: the
derivative of the pointwise functions, with each recurrent matrix replaced by its diagonal. The rest of a step mixes units. (Of a
product behind another, what a unit reads of itself by way of others is left out too.)
"""

from functools import cache

from kernels.derive.adjoint import accumulate_gradients
from kernels.derive.graph import Graph, Node
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise


def find_obstacle(plan: Plan) -> str:
    """Returns what the units of a cell read beside themselves, other than by a product, so that its linearised step can't be solved for all
    time steps at once; "" for nothing."""
    return "their neighbours" if plan.stencil_inputs else "a sum over units in the loop" if plan.reduces_states else ""


@cache
def linearise(plan: Plan) -> Pointwise:
    """Derives the linearised step of a plan.

    Returns:
        The function (states, terms, vectors, diagonals) → (next states, S; slopes, S·S). The diagonals are those of the matrices
        `list_diagonals(plan)`, and slope s·S + r is the derivative of next state s by state r of the same unit.
    """
    slopes = _Slopes(plan)
    names = plan.cell.states
    outputs = (*plan.step.outputs, *(slope for node in plan.step.outputs for slope in slopes.find(node)))
    results = (*plan.step.results, *(f"d_{name}_d_{by}" for name in names for by in names))
    inputs = (*plan.step.inputs, *(v for v in slopes.vectors if v not in plan.step.inputs), *slopes.diagonals.values())
    return Pointwise("linearised_step", inputs, outputs, results)


def list_diagonals(plan: Plan) -> tuple[str, ...]:
    """Returns the names of the recurrent matrices, each once, in the order in which `linearise` takes their diagonals."""
    return tuple(dict.fromkeys(plan.recurrent))


def name_diagonal(matrix: str) -> str:
    """Returns the name of a matrix's diagonal, transposed ("uh.T") or not."""
    return f"diagonal_{matrix.replace('.', '_')}"


class _Slopes:
    """The derivatives of nodes by the states before a step, within a unit."""

    def __init__(self, plan: Plan):
        graph: Graph = plan.graph
        self.plan, self.graph = plan, graph
        self.diagonals = {name: graph.leaf("diagonal", name_diagonal(name)) for name in list_diagonals(plan)}
        self.operands = {plan.term_leaves[i]: (operand, plan.terms[i].matrix)
                         for stage in plan.stages for operand, members in stage.groups for i in members}  # fmt: skip
        self.vectors = tuple(dict.fromkeys(v for stage in plan.stages if stage.argument for v in stage.argument.inputs if v.op == "vector"))
        self.found: dict[Node, tuple[Node, ...]] = {}

    def find(self, node: Node) -> tuple[Node, ...]:
        """Returns the derivative of a node by each state."""
        if node not in self.found:
            self.found[node] = self.derive(node)
        return self.found[node]

    def derive(self, node: Node) -> tuple[Node, ...]:
        """Derives what `find` returns: by the states that the node reads, and by those that the products of its terms read."""
        zero, one = self.graph.wrap(0.0), self.graph.wrap(1.0)
        if node in self.plan.states:
            return tuple(one if node is state else zero for state in self.plan.states)
        gradient = accumulate_gradients((node,), (one,))
        slopes = [gradient.get(state, zero) for state in self.plan.states]
        for term, (operand, matrix) in self.operands.items():
            if term in gradient:
                through = gradient[term] * self.diagonals[matrix]
                slopes = [slope + through * part for slope, part in zip(slopes, self.find(operand), strict=True)]
        return tuple(slopes)

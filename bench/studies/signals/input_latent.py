"""Finds a cell's latent value z, which depends on the input alone and through which all of the input enters (MinimalRNN's z = Φ(x)), and
its gradient.

The search uses the cell's graph and works for any cell: z is the last function that lies on every path from x to the next states. A
product with a matrix doesn't count as a function: all input of a vanilla cell enters through W x, which is x in another basis.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cells.grammar.cell import Cell
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan, plan
from kernels.layer.input_products import GraphEvaluator


def find_latent(plan: Plan) -> Node | None:
    """Returns the node of the latent value of a plan's cell.

    Args:
        plan: The plan.

    Returns:
        The node. None if x enters by several paths, also in the next step, or only through matrices.
    """
    if plan.uses_prev:
        return None
    calls = [node for node in plan.ordered_nodes if node.op == "call" and {"x"} == {n.op for n in walk([node])} & {"x", "state"}]
    return next((node for node in reversed(calls) if not passes_by(node, plan.outputs)), None)


def passes_by(node: Node, outputs: Sequence[Node]) -> bool:
    """Returns whether x also reaches the outputs by a path around a node."""
    seen, left = {node}, list(outputs)
    while left:
        found = left.pop()
        if found not in seen:
            seen.add(found)
            left += found.args
    return any(found.op == "x" for found in seen)


def latent_gradient(
    cell: Cell, x: Tensor, states: Sequence[Tensor], weights: dict[str, Tensor], upstream: Sequence[Tensor]
) -> Tensor | None:
    """Returns the gradient of the latent value z in one step: each row of `upstream` times ∂s'/∂z.

    So ∂h_T/∂z_{T-k} = ∂h_T/∂s_{T-k} · ∂s_{T-k}/∂z_{T-k}, and ∂h_T/∂x_{T-k} is this times the derivative of Φ.

    Args:
        cell: The cell.
        x: The input (1, D).
        states: The states before the step, (1, H) each.
        weights: The parameters by name.
        upstream: Gradients of the next states, (rows, H) each.

    Returns:
        The gradients (rows, width of z); None if the cell has no latent value.
    """
    made = plan(cell)
    node = find_latent(made)
    if node is None:
        return None
    z = GraphEvaluator({made.graph.leaf("x", "x", "D"): x}, weights)[node]
    z = z.expand(len(upstream[0]), -1).clone().requires_grad_()
    values = GraphEvaluator({node: z, **dict(zip(made.states, states, strict=True))}, weights)
    after = [values[output] for output in made.outputs]
    pairs = [(value, g) for value, g in zip(after, upstream, strict=True) if value.requires_grad]
    return torch.autograd.grad([value for value, _ in pairs], z, [g for _, g in pairs])[0]

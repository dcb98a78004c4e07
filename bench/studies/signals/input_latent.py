"""The value that a cell makes of its input alone and through which all of the input comes in: MinimalRNN's z = Φ(x), and what a step does
to it.

Found in the cell's graph, for any cell: the last function on every way from x to the next states. A product with a matrix is none:
what all of a vanilla cell's input comes through is W x, which a basis of another name would make x.
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from cells.grammar.cell import Cell
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan, plan
from kernels.layer.input_products import Values


def find_latent(plan: Plan) -> Node | None:
    """That value's node, None where x comes in by several ways, also in the step after it, or through none but matrices."""
    if plan.uses_prev:
        return None
    calls = [node for node in plan.ordered_nodes if node.op == "call" and {"x"} == {n.op for n in walk([node])} & {"x", "state"}]
    return next((node for node in reversed(calls) if not passes_by(node, plan.outputs)), None)


def passes_by(node: Node, outputs: Sequence[Node]) -> bool:
    """Return whether x also reaches the outputs by a path around a node."""
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
    """That of the latent value z in one step, from x (1, D) and `states` (1, H): each row of `upstream`, gradients (rows, H) of the
    next states, times ∂s'/∂z. None for a cell without one.

    So ∂h_T/∂z_{T-k} = ∂h_T/∂s_{T-k} · ∂s_{T-k}/∂z_{T-k}, and ∂h_T/∂x_{T-k} is that times the derivative of Φ.
    """
    made = plan(cell)
    node = find_latent(made)
    if node is None:
        return None
    z = Values({made.graph.leaf("x", "x", "D"): x}, weights)[node]
    z = z.expand(len(upstream[0]), -1).clone().requires_grad_()
    values = Values({node: z, **dict(zip(made.states, states, strict=True))}, weights)
    after = [values[output] for output in made.outputs]
    pairs = [(value, g) for value, g in zip(after, upstream, strict=True) if value.requires_grad]
    return torch.autograd.grad([value for value, _ in pairs], z, [g for _, g in pairs])[0]

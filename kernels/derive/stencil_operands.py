"""Rewrites a stencil applied to a value of the step as stencils applied to states, vectors and what is computed before the loop.

    S(a + b) = S(a) + S(b)          S(3 * a) = 3 * S(a)          S(T(u)) = (S∘T)(u)
    S(f(u, p)) = Σ_k w_k f(u_k, p_k)          with the neighbours u_k, p_k of tap k, and w_k = 0 where tap k is beyond the grid

So a step has no further pass over the grid, and every schedule that has stencils runs it: the value is computed again for each tap.
"""

from typing import TYPE_CHECKING

from cells.grammar.errors import CellError, cell_error
from cells.grammar.stencil import Stencil
from kernels.derive.graph import Node

if TYPE_CHECKING:
    from kernels.derive.splitter import Splitter


def apply_stencil(splitter: "Splitter", stencil: Stencil, node: Node) -> Node:
    """Returns the node of the step that is a stencil applied to a node of the cell.

    Raises:
        CellError: the node depends on a recurrent product, or on a sum by heads.
    """
    graph = splitter.graph
    if node.op == "state":
        return splitter.add_stencil_input(stencil, node.label)
    if id(node) not in splitter.stateful:
        return splitter.rewrite_computed_before(node.stencil(stencil), node)
    if node.op == "stencil":
        try:
            both = stencil.after(graph.stencils[node.label])
        except CellError as error:
            raise cell_error(splitter.cell.step, str(error), node.line) from None
        return apply_stencil(splitter, both, node.args[0])
    linear = {"add": (0, 1), "sub": (0, 1), "neg": (0,), "mul": (0, 1), "div": (0,)}.get(node.op, ())
    fields = [i for i, a in enumerate(node.args) if a.width]
    if fields == [*linear] if node.op in ("add", "sub", "neg") else len(fields) == 1 and fields[0] in linear:
        args = [apply_stencil(splitter, stencil, a) if i in fields else splitter.rewrite(a) for i, a in enumerate(node.args)]
        return graph.node(node.op, *args)
    total = graph.wrap(0.0)
    for k in range(len(stencil.taps)):
        weight = splitter.add_vector(graph.leaf("ones", "ones").stencil(stencil.tap(k)))
        total = graph.node("add", total, graph.node("mul", weight, move(splitter, stencil, k, node)))
    return total


def move(splitter: "Splitter", stencil: Stencil, k: int, node: Node) -> Node:
    """Returns the node of the step for the value that a node of the cell has at the neighbour of tap k."""
    if not node.width:
        return splitter.rewrite(node)
    if node.op in ("product", "reduce") and id(node) in splitter.stateful:
        made = f"W.{node.label}(v), a product of this step" if node.op == "product" else "a sum by heads of this step"
        message = f"{stencil.name} can't be applied to a value made of {made}: return that value as a state"
        raise cell_error(splitter.cell.step, message, node.line)
    if id(node) not in splitter.stateful or node.op in ("state", "stencil"):
        return apply_stencil(splitter, stencil.neighbour(k), node)
    return splitter.graph.node(node.op, *(move(splitter, stencil, k, a) for a in node.args), label=node.label)

"""Plans a cell: separates what can be computed before the time loop from what each step computes.

    hoisted          values that depend on no state, computed for all T·B rows before the time loop
    terms            the inputs of a step besides the states: a hoisted value, a recurrent product, or their sum
    stencil_inputs   stencils applied to a state, also inputs of the step (`stencil_operands`: of other values)
    stages           the recurrent products, grouped by operand; a product whose operand depends on another recurrent product is in a
                     later stage
    step             one pointwise function F(states, terms, vectors, stencil inputs) → next states

Without a recurrent product a step is limited by memory bandwidth. Only products are hoisted then: elementwise operations stay in the
step, and their results are never written to memory. Nor are they where a step sums over units, or if `fuse_inputs` asks for it.
"""

import math
from dataclasses import dataclass
from functools import cache, cached_property

from cells.grammar.cell import Cell
from cells.grammar.noise import Mask
from kernels.derive.graph import Graph, Node, walk
from kernels.derive.plan_types import Pointwise, Stage, StencilInput, Term
from kernels.derive.splitter import Splitter
from kernels.derive.trace import trace


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a cell, made by `plan(cell)`.

    Attributes:
        outputs: the next states over the cell's own leaves.
        states: the state leaves of `step`.
        vectors: its leaves of shape (H) that depend only on parameters.
        vector_values: the expression of each vector.
        terms, stages, step, stencil_inputs: see the module.
    """

    cell: Cell
    bias: bool
    graph: Graph
    outputs: tuple[Node, ...]
    states: tuple[Node, ...]
    terms: tuple[Term, ...]
    vectors: tuple[Node, ...]
    vector_values: tuple[Node, ...]
    stages: tuple[Stage, ...]
    step: Pointwise
    stencil_inputs: tuple[StencilInput, ...]

    @property
    def fixed_width(self) -> int | None:
        """Returns the hidden size that the grid of a stencil requires, None if there is no such grid."""
        return next((math.prod(n.shape) for n in self.graph.stencils.values() if n.shape), None)

    def round_up_width(self, H: int) -> int:
        """Returns the smallest hidden size, at least H, that the heads of its matrices and of its sums share equally."""
        step = math.lcm(*self.cell.heads.values(), *(r.heads for r in self.graph.reductions.values()))
        return -(-H // step) * step

    @cached_property
    def term_leaves(self) -> tuple[Node, ...]:
        """Returns the leaves of the step that are terms."""
        return tuple(self.graph.leaf("term", term.name) for term in self.terms)

    @cached_property
    def stencil_leaves(self) -> tuple[Node, ...]:
        """Returns the leaves of the step that are stencil inputs."""
        return tuple(n.leaf for n in self.stencil_inputs)

    @cached_property
    def products(self) -> tuple[Node, ...]:
        """Returns every product of the cell, before or in the time loop."""
        return tuple(n for n in self.ordered_nodes if n.op == "product")

    @property
    def ordered_nodes(self) -> list[Node]:
        """Returns every node of the cell, in the order of its equations."""
        return sorted(walk(self.outputs), key=lambda n: n.index)

    @cached_property
    def chained_inputs(self) -> tuple[Node, ...]:
        """Returns the hoisted values that are more than the input or a product of it: an operation in front of the loop each."""
        hoisted = [(t.hoisted, t.projection) for t in self.terms if t.hoisted is not None]
        return tuple(v for v, product in hoisted if (product is None and v.args) or (product is not None and product.args[0].args))

    @cached_property
    def multiplies_values(self) -> bool:
        """Returns whether a matrix is applied to a value of the input, and not to the input itself, in front of the loop."""
        return any(t.projection is not None and t.projection.args[0].args for t in self.terms)

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """Returns the names of the matrices of the recurrent products."""
        return tuple(term.matrix for term in self.terms if term.matrix)

    @cached_property
    def uses_prev(self) -> bool:
        """Returns whether the cell uses prev(x)."""
        return any(n.op == "before" for n in self.ordered_nodes)

    @property
    def masks(self) -> tuple[Mask, ...]:
        """Returns the masks that the cell draws in training, in the order of its columns."""
        return tuple(self.graph.masks)

    @cached_property
    def uses_time(self) -> bool:
        """Returns whether the cell uses time()."""
        return any(n.op == "time" for n in self.ordered_nodes)

    @cached_property
    def reduces_states(self) -> bool:
        """Returns whether a step sums over units: then a unit reads all units of its sequence."""
        return any(f and f.reductions for f in (self.step, *(s.argument for s in self.stages)))

    @cached_property
    def is_masked(self) -> bool:
        """Returns whether the last column of the input is a mask (`cells.grammar.masked`)."""
        return any(n.op == "mask" for n in self.ordered_nodes)

    @cached_property
    def elementwise_input(self) -> bool:
        """Returns whether the cell uses x elementwise, which requires D = H."""
        return any(n.width == "D=H" for n in walk(self.outputs)) or any(n.width == "D" for n in self.outputs)

    @property
    def elementwise_line(self) -> int:
        """Returns the first line of the cell's file that uses x elementwise, 0 if only the returned states do."""
        return next((n.line for n in self.ordered_nodes if n.width == "D=H"), 0)


def plan(cell: Cell, bias: bool = True, fuse_inputs: bool = False) -> Plan:
    """Traces a cell and plans it. The same cell gives the same plan object.

    Args:
        cell: the cell.
        bias: whether the cell has its biases `b`.
        fuse_inputs: whether values that depend on the input alone are computed in the step, all but products of the input itself. It
            gives the default plan of a cell without such values, and of one with a stencil, a mask, or time(), which is in float64.

    Raises:
        CellError: the function breaks the grammar of `cells.grammar.cell`.
    """
    return _plan(cell, bias, fuse_inputs)


@cache
def _plan(cell: Cell, bias: bool, fuse_inputs: bool) -> Plan:
    known = _plan(cell, bias, False) if fuse_inputs else None
    if known and (known.stencil_inputs or known.is_masked or known.uses_time or not known.chained_inputs):
        return known
    graph, outputs = trace(cell, bias)
    return Plan(cell, bias, graph, outputs, *Splitter(cell, graph, outputs, fuse_inputs).split())

"""One time step as a program: pointwise functions, products and stencils in the order in which they run, each computed once.

A plan computes what depends on no state ahead of the time loop. A step that runs on its own, as on a stream, has nothing to compute ahead
but what depends on parameters alone, `vectors`.
"""

from dataclasses import dataclass, field

from cells.grammar.reductions import Reduction
from cells.grammar.stencil import Stencil
from kernels.derive.graph import LEAVES, Graph, Node, walk
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise


@dataclass(eq=False)
class Products:
    """The products with one operand: for each the name of its matrix ("uh") and the leaf of its result."""

    operand: Node
    matrices: list[str] = field(default_factory=list)
    results: list[Node] = field(default_factory=list)


@dataclass(eq=False)
class StencilSum:
    """A stencil applied to an operand."""

    operand: Node
    stencil: Stencil
    result: Node


@dataclass(eq=False)
class Sum:
    """A reduction of an operand over units."""

    operand: Node
    reduction: Reduction
    result: Node


@dataclass(eq=False)
class Operand:
    """An operand that is computed: a pointwise function of one output, and the leaf of its result."""

    function: Pointwise
    result: Node


@dataclass(eq=False)
class StepProgram:
    """The program of a step of a cell, over leaves: states, inputs, vectors, and the results of instructions.

    Attributes:
        vectors: the leaves that depend on parameters alone, and the expressions of the cell that they stand for.
        instructions: what runs before `step`, in order. The operand of a product, stencil or sum is a leaf.
        step: the pointwise function of the next states.
        uses_input, uses_prev, uses_time: whether the cell reads x, prev(x) or time().
    """

    vectors: dict[Node, Node]
    instructions: list[Operand | Products | StencilSum | Sum]
    step: Pointwise
    uses_input: bool
    uses_prev: bool
    uses_time: bool


def make_program(plan: Plan) -> StepProgram:
    """Returns the program of a step of a cell."""
    return _Builder(plan).build()


class _Builder:
    def __init__(self, plan: Plan):
        self.plan, self.graph = plan, Graph()
        nodes = list(walk(plan.outputs))
        self.operands = {id(n.args[0]) for n in nodes if n.op in ("product", "stencil", "reduce")}
        self.dependent: set[int] = set()
        for node in nodes:
            if node.op in ("state", "x", "before", "time") or any(id(a) in self.dependent for a in node.args):
                self.dependent.add(id(node))
        self.rewritten: dict[int, Node] = {}
        self.leaves: set[tuple[str, str]] = set()
        self.products: dict[Node, Products] = {}
        uses_input = any(n.op in ("x", "before") for n in nodes)
        self.program = StepProgram({}, [], Pointwise("", (), (), ()), uses_input, plan.uses_prev, plan.uses_time)

    def build(self) -> StepProgram:
        outputs = tuple(self.rewrite(node) for node in self.plan.outputs)
        self.program.step = make_function("next_states", outputs, self.plan.cell.states)
        return self.program

    def rewrite(self, node: Node) -> Node:
        """Rewrites a node of the cell as one over leaves."""
        if id(node) not in self.rewritten:
            new = self._rewrite(node)
            if new.op not in LEAVES:
                new.name = new.name or node.name
                new = self.compute_operand(new) if id(node) in self.operands else new
            self.rewritten[id(node)] = new
        return self.rewritten[id(node)]

    def _rewrite(self, node: Node) -> Node:
        if node.value is not None:
            return self.graph.wrap(node.value)
        if id(node) not in self.dependent:
            leaf = self.make_leaf("vector", f"{node.op}_{node.label}" if node.op in LEAVES else f"v_{node.name}", node.width)
            self.program.vectors[leaf] = node
            return leaf
        if node.op in LEAVES:
            return self.graph.leaf(node.op, node.label, node.width)
        args = [self.rewrite(a) for a in node.args]
        if node.op == "product":
            return self.add_product(node.label, *args)
        if node.op == "stencil":
            result = self.make_leaf("term", node.label, node.width)
            self.program.instructions.append(StencilSum(args[0], node.graph.stencils[node.label], result))
            return result
        if node.op == "reduce":
            result = self.make_leaf("term", node.label, node.width)
            self.program.instructions.append(Sum(args[0], node.graph.reductions[node.label], result))
            return result
        return self.graph.node(node.op, *args, label=node.label)

    def add_product(self, matrix: str, operand: Node) -> Node:
        """Adds a product to those of its operand, and returns the leaf of its result."""
        if operand not in self.products:
            self.products[operand] = Products(operand)
            self.program.instructions.append(self.products[operand])
        result = self.make_leaf("term", matrix.replace(".", "_"), "H")
        self.products[operand].matrices.append(matrix)
        self.products[operand].results.append(result)
        return result

    def compute_operand(self, value: Node) -> Node:
        """Adds the computation of an operand, and returns the leaf of its result."""
        result = self.make_leaf("term", value.name or "operand", value.width)
        self.program.instructions.append(
            Operand(make_function(f"operand_{len(self.program.instructions)}", (value,), (result.label,)), result)
        )
        return result

    def make_leaf(self, op: str, label: str, width: str) -> Node:
        """Makes a new leaf; a number behind the label keeps it apart from others of the label."""
        name, number = label, 1
        while (op, name) in self.leaves:
            number += 1
            name = f"{label}_{number}"
        self.leaves.add((op, name))
        return self.graph.leaf(op, name, width)


def make_function(name: str, outputs: tuple[Node, ...], results: tuple[str, ...]) -> Pointwise:
    """Returns the pointwise function of the outputs, whose inputs are the leaves that they depend on."""
    inputs = tuple(n for n in walk(outputs) if n.op in LEAVES and n.op != "const")
    return Pointwise(name, inputs, outputs, results)

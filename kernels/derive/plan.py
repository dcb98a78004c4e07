"""Plans a cell: separates what can be computed before the time loop from what each step computes.

    hoisted    what no state reaches, computed for all T·B rows in front of the loop
    terms      what a step reads: a hoisted value, a recurrent product, or their sum
    stencil_inputs   stencils applied to a state, which a step reads
    stages     the recurrent products, grouped by what they are applied to; a product of an expression that itself
               holds a recurrent product waits for it, and makes a second stage
    step       one pointwise function F(states, terms, vectors, near) → next states

Without a recurrent product a step is as cheap as reading what it needs, so there only products are hoisted: what is elementwise
stays in the step, and none of it is ever written to memory.

Parameter, flop and byte counts come from it too, by `kernels.derive.cost_formulas`.
"""

import math
from collections import Counter
from dataclasses import dataclass
from functools import cache, cached_property

from cells.grammar.cell import Cell
from cells.grammar.errors import cell_error
from kernels.derive.graph import LEAVES, Graph, Node, walk
from kernels.derive.plan_types import Pointwise, Stage, StencilInput, Term
from kernels.derive.trace import trace


@dataclass(frozen=True, eq=False)
class Plan:
    """The plan of a cell, made by `plan(cell)`."""

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
        """The hidden size that a stencil's grid prescribes, None if none does."""
        return next((math.prod(n.shape) for n in self.graph.stencils.values() if n.shape), None)

    @cached_property
    def term_leaves(self) -> tuple[Node, ...]:
        return tuple(self.graph.leaf("term", term.name) for term in self.terms)

    @cached_property
    def stencil_leaves(self) -> tuple[Node, ...]:
        return tuple(n.leaf for n in self.stencil_inputs)

    @cached_property
    def products(self) -> tuple[Node, ...]:
        """Every product of the cell, in the loop or not."""
        return tuple(n for n in self.ordered_nodes if n.op == "product")

    @property
    def ordered_nodes(self) -> list[Node]:
        """Every node of the cell, in the order its equations are written."""
        return sorted(walk(self.outputs), key=lambda n: n.index)

    @cached_property
    def recurrent(self) -> tuple[str, ...]:
        """The matrices of the products left in the loop."""
        return tuple(term.matrix for term in self.terms if term.matrix)

    @cached_property
    def uses_prev(self) -> bool:
        """Whether the cell uses prev(x)."""
        return any(n.op == "before" for n in self.ordered_nodes)

    @cached_property
    def elementwise_input(self) -> bool:
        """Returns whether the cell uses x elementwise, which requires D = H."""
        return any(n.width == "D=H" for n in walk(self.outputs)) or any(n.width == "D" for n in self.outputs)

    @property
    def elementwise_line(self) -> int:
        """The line of the cell's file that first does so, 0 where it is the next states alone."""
        return next((n.line for n in self.ordered_nodes if n.width == "D=H"), 0)


def plan(cell: Cell, bias: bool = True) -> Plan:
    """Traces a cell and plans it. The same cell gives the same plan object.

    Args:
        cell: the cell.
        bias: whether the cell has its biases `b`.

    Raises:
        CellError: the function is no cell.
    """
    return _plan(cell, bias)


@cache
def _plan(cell: Cell, bias: bool) -> Plan:
    graph, outputs = trace(cell, bias)
    return _Splitter(cell, bias, graph, outputs).plan()


class _Splitter:
    def __init__(self, cell: Cell, bias: bool, graph: Graph, outputs: tuple[Node, ...]):
        self.cell, self.bias, self.graph, self.outputs = cell, bias, graph, outputs
        nodes = list(walk(outputs))
        self.stateful: set[int] = set()
        self.fed: set[int] = set()
        for node in nodes:
            if node.op == "state" or any(id(a) in self.stateful for a in node.args):
                self.stateful.add(id(node))
            if node.op in ("x", "before") or any(id(a) in self.fed for a in node.args):
                self.fed.add(id(node))
        self.recurrent = any(n.op == "product" and id(n) in self.stateful for n in nodes)
        self.uses = Counter(id(a) for node in nodes for a in node.args) + Counter(map(id, outputs))
        self.terms: dict[str, Term] = {}
        self.products: dict[str, Node] = {}
        self.vectors: dict[Node, Node] = {}
        self.near: dict[Node, StencilInput] = {}
        self.done: dict[int, Node] = {}

    def plan(self) -> Plan:
        step = tuple(self.rewrite(node) for node in self.outputs)
        order = self.order()
        terms = tuple(self.terms[name] for name in order)
        states = tuple(self.graph.leaf("state", name) for name in self.cell.states)
        leaves = (*states, *(self.graph.leaf("term", name) for name in order), *self.vectors, *self.near)
        results = tuple(f"{name}_next" for name in self.cell.states)
        return Plan(
            self.cell, self.bias, self.graph, self.outputs, states, terms, tuple(self.vectors),
            tuple(self.vectors.values()), self.stages(terms), Pointwise("step", leaves, step, results),
            tuple(self.near.values()),
        )  # fmt: skip

    def rewrite(self, node: Node) -> Node:
        """The node over states, terms and vectors."""
        if id(node) not in self.done:
            self.done[id(node)] = new = self._rewrite(node)
            if new.op not in LEAVES and not new.name:
                new.name = node.name
        return self.done[id(node)]

    def _rewrite(self, node: Node) -> Node:
        if node.op in ("state", "const"):
            return node
        if id(node) not in self.stateful:
            return self.outside(node) if id(node) in self.fed else self.vector(node)
        if node.op == "product":
            return self.term(None, node)
        if node.op == "stencil":
            return self.neighbours(node)
        if node.op == "add":
            return self.sum(node)
        return self.graph.node(node.op, *(self.rewrite(a) for a in node.args), label=node.label)

    def sum(self, node: Node) -> Node:
        """A sum that a state reaches: what no state reaches is added up in front of the loop, and joins the first
        recurrent product as one term. Constants and vectors alone stay where they were written."""
        parts = self.flatten(node)
        hoisted = [n for n in parts if id(n) not in self.stateful and n.op != "const"]
        if not any(id(n) in self.fed for n in hoisted):
            return self.graph.node("add", *(self.rewrite(a) for a in node.args))
        outside = hoisted[0]
        for n in hoisted[1:]:
            outside = self.graph.node("add", outside, n)
            self.fed.add(id(outside))
        linear = Term("", outside).feed is not None
        product = next((n for n in parts if n.op == "product" and id(n) in self.stateful), None)
        joined = product if linear and product is not None and self.uses[id(product)] == 1 else None
        total = self.outside(outside) if joined is None else self.term(outside, joined)
        for n in parts:
            if n is not joined and n not in hoisted:
                total = self.graph.node("add", total, self.rewrite(n))
        return total

    def outside(self, node: Node) -> Node:
        """What no state reaches: a term, but for what is elementwise where no product is left in the loop."""
        if self.recurrent or node.op in ("product", "stencil") or not node.args or Term("", node).feed is not None:
            return self.term(node)
        return self.graph.node(node.op, *(self.rewrite(a) for a in node.args), label=node.label)

    def flatten(self, node: Node) -> list[Node]:
        """A sum's addends, down to what is used elsewhere too."""
        return [n for a in node.args for n in (self.flatten(a) if a.op == "add" and self.uses[id(a)] == 1 else [a])]

    def term(self, hoisted: Node | None, product: Node | None = None) -> Node:
        matrix = "" if product is None else product.label
        name = matrix or self.label(hoisted)
        if name in self.terms and (self.terms[name].hoisted is not hoisted or self.products.get(name) is not product):
            name = f"{name}_{len(self.terms)}"
        self.terms[name] = Term(name, hoisted, matrix)
        if product is not None:
            self.products[name] = product
            self.rewrite(product.args[0])  # which may hold products, however deep
        return self.graph.leaf("term", name)

    @staticmethod
    def label(node: Node | None) -> str:
        """A name for a hoisted value: the cell's own, or one made of its functions and its first matrix."""
        assert node is not None
        if node.name or node.op == "product":
            return node.name or node.label
        inner = _Splitter.label(next((a for a in node.args if a.op not in ("const", "b", "p", "s")), node.args[0]))
        return f"{node.label}_{inner}" if node.op == "call" else inner

    def vector(self, node: Node) -> Node:
        name = node.name or f"v{len(self.vectors)}"
        leaf = self.graph.leaf("vector", name)
        if self.vectors.get(leaf, node) is not node:
            leaf = self.graph.leaf("vector", f"{name}_{len(self.vectors)}")
        self.vectors[leaf] = node
        return leaf

    def neighbours(self, node: Node) -> Node:
        (argument,) = node.args
        if argument.op != "state":
            message = f"{node.label} is applied to a state as it is, and not to what this step makes of one: carry that as a state"
            raise cell_error(self.cell.step, message, node.line)
        leaf = self.graph.leaf("stencil_input", f"{node.label}_{argument.label}")
        self.near[leaf] = StencilInput(leaf, self.graph.stencils[node.label], self.cell.states.index(argument.label))
        return leaf

    def order(self) -> list[str]:
        """The terms' names: those with a product first, each in the order the equations are written."""

        def place(name: str) -> tuple[bool, int]:
            of = (self.products.get(name), self.terms[name].feed, self.terms[name].hoisted)
            return name not in self.products, next(n.index for n in of if n is not None)

        return sorted(self.terms, key=place)

    def stages(self, terms: tuple[Term, ...]) -> tuple[Stage, ...]:
        level: dict[str, int] = {}
        for term in terms:
            self.level(term.name, level)
        return tuple(
            self.stage(k, [i for i, t in enumerate(terms) if level.get(t.name) == k], terms)
            for k in range(1, max(level.values(), default=0) + 1)
        )

    def level(self, name: str, level: dict[str, int]) -> int:
        """In which stage a term is complete: 0 without a product."""
        if name not in self.products:
            return 0
        if name not in level:
            needs = [n.label for n in walk([self.rewrite(self.products[name].args[0])]) if n.op == "term"]
            level[name] = 1 + max((self.level(n, level) for n in needs), default=0)
        return level[name]

    def stage(self, k: int, members: list[int], terms: tuple[Term, ...]) -> Stage:
        groups: dict[Node, list[int]] = {}
        for i in members:
            groups.setdefault(self.rewrite(self.products[terms[i].name].args[0]), []).append(i)
        computed = [a for a in groups if a.op != "state"]
        if any(n.op == "stencil_input" for n in walk(computed)):
            raise cell_error(self.cell.step, "a matrix is applied to what a stencil finds of a state: no schedule runs that")
        inputs = tuple(n for n in walk(computed) if n.op in ("state", "term", "vector"))
        results = tuple(f"stage{k}_{n}" for n in range(len(computed)))
        argument = Pointwise(f"stage{k}", inputs, tuple(computed), results) if computed else None
        return Stage(argument, tuple((a, tuple(g)) for a, g in groups.items()))

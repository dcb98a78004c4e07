"""Separates the equations of a traced cell into what is computed before the time loop, and what each step computes."""

from collections import Counter
from typing import Any

from cells.grammar.cell import Cell
from cells.grammar.errors import cell_error
from cells.grammar.stencil import Stencil
from kernels.derive.graph import LEAVES, Graph, Node, walk
from kernels.derive.plan_types import Pointwise, Stage, StencilInput, Term
from kernels.derive.stencil_operands import apply_stencil


class Splitter:
    """Separates the equations of a traced cell.

    Args:
        fuse_inputs: whether only products of the input itself are computed before the loop, and what depends on them is in the step.
    """

    def __init__(self, cell: Cell, graph: Graph, outputs: tuple[Node, ...], fuse_inputs: bool):
        self.cell, self.graph, self.outputs, self.fuse_inputs = cell, graph, outputs, fuse_inputs
        nodes = list(walk(outputs))
        self.stateful, self.from_input, self.hoisted = set[int](), set[int](), set[int]()
        for node in nodes:
            is_product = node.op == "product" and node.args[0].width != "D"  # a step has no values as wide as the input
            of_value = is_product and bool(node.args[0].args) and id(node.args[0]) in self.from_input
            chained = fuse_inputs and of_value  # as if the value were a state
            if node.op in ("state", "mask") or chained or any(id(a) in self.stateful for a in node.args):
                self.stateful.add(id(node))
            if node.op in ("x", "before", "time", "noise", "mask_before") or any(id(a) in self.from_input for a in node.args):
                self.from_input.add(id(node))
        self.sums = any(n.op == "reduce" and id(n) in self.stateful for n in nodes)
        for node in nodes:
            summed = node.op == "reduce" and (not self.sums or node.args[0].width == "D")  # a step has no inputs but those of its units
            if node.op == "time" or summed or any(id(a) in self.hoisted for a in node.args):
                self.hoisted.add(id(node))
        self.recurrent = any(n.op == "product" and id(n) in self.stateful for n in nodes)
        self.uses = Counter(id(a) for node in nodes for a in node.args) + Counter(map(id, outputs))
        self.terms: dict[str, Term] = {}
        self.products: dict[str, Node] = {}
        self.vectors: dict[Node, Node] = {}
        self.stencil_inputs: dict[Node, StencilInput] = {}
        self.rewritten: dict[int, Node] = {}

    def split(self) -> tuple[Any, ...]:
        """Returns the fields of a `Plan` that the equations are separated into: from `states` on."""
        step = tuple(self.rewrite(node) for node in self.outputs)
        order = self.order_terms()
        terms = tuple(self.terms[name] for name in order)
        states = tuple(self.graph.leaf("state", name) for name in self.cell.states)
        leaves = (*states, *(self.graph.leaf("term", name) for name in order), *self.vectors, *self.stencil_inputs)
        results = tuple(f"{name}_next" for name in self.cell.states)
        return (
            states, terms, tuple(self.vectors), tuple(self.vectors.values()), self.make_stages(terms),
            Pointwise("step", leaves, step, results), tuple(self.stencil_inputs.values()),
        )  # fmt: skip

    def rewrite(self, node: Node) -> Node:
        """Rewrites a node of the cell as one over states, terms and vectors."""
        if id(node) not in self.rewritten:
            self.rewritten[id(node)] = new = self._rewrite(node)
            if new.op not in LEAVES and not new.name:
                new.name = node.name
        return self.rewritten[id(node)]

    def _rewrite(self, node: Node) -> Node:
        if node.op in ("state", "const"):
            return node
        if id(node) not in self.stateful:
            return self.rewrite_computed_before(node, node)
        if node.op == "mask":  # a term as it is: each comparison in front of the loop would be one more
            return self.add_term(node)
        if node.op == "product":
            return self.add_term(None, node)
        if node.op == "stencil":
            return apply_stencil(self, self.graph.stencils[node.label], node.args[0])
        if node.op == "add":
            return self.rewrite_sum(node)
        return self.graph.node(node.op, *(self.rewrite(a) for a in node.args), label=node.label)

    def rewrite_computed_before(self, node: Node, source: Node) -> Node:
        """Rewrites a node that depends on no state; on the input if `source`, a node of the cell, does."""
        return self.rewrite_stateless(node) if id(source) in self.from_input else self.add_vector(node)

    def rewrite_sum(self, node: Node) -> Node:
        """Rewrites a sum that depends on a state.

        Its addends that depend on no state are summed before the loop and become one term, with the first recurrent product. They stay
        in place if they are only constants and vectors.
        """
        parts = self.flatten_sum(node)
        hoisted = [n for n in parts if id(n) not in self.stateful and n.op != "const"]
        if not any(id(n) in self.from_input for n in hoisted):
            return self.graph.node("add", *(self.rewrite(a) for a in node.args))
        outside = hoisted[0]
        for n in hoisted[1:]:
            outside = self.graph.node("add", outside, n)
            self.from_input.add(id(outside))
        linear = Term("", outside).projection is not None
        product = next((n for n in parts if n.op == "product" and id(n) in self.stateful), None)
        joined = product if linear and product is not None and self.uses[id(product)] == 1 else None
        total = self.rewrite_stateless(outside) if joined is None else self.add_term(outside, joined)
        for n in parts:
            if n is not joined and n not in hoisted:
                total = self.graph.node("add", total, self.rewrite(n))
        return total

    def rewrite_stateless(self, node: Node) -> Node:
        """Makes a term of a node that depends on no state. Without recurrent products, and with `fuse_inputs`, elementwise operations stay
        in the step, but not of sums over units, nor of time(), which is in float64. Where the step sums over units anyway, sums stay there
        too: by torch in front of the loop each of their operations would be a pass over memory, and another one in the backward pass."""
        whole = (self.recurrent and not self.sums and not self.fuse_inputs) or node.op in ("product", "stencil") or id(node) in self.hoisted
        if whole or not node.args or Term("", node).projection is not None:
            return self.add_term(node)
        return self.graph.node(node.op, *(self.rewrite(a) for a in node.args), label=node.label)

    def flatten_sum(self, node: Node) -> list[Node]:
        """Returns the addends of nested sums, except of a sum that is used elsewhere too."""
        return [n for a in node.args for n in (self.flatten_sum(a) if a.op == "add" and self.uses[id(a)] == 1 else [a])]

    def add_term(self, hoisted: Node | None, product: Node | None = None) -> Node:
        matrix = "" if product is None else product.label
        name = (matrix or self.name_hoisted(hoisted)).replace(".", "_")  # "a.T" is a matrix transposed
        if name in self.terms and (self.terms[name].hoisted is not hoisted or self.products.get(name) is not product):
            name = f"{name}_{len(self.terms)}"
        self.terms[name] = Term(name, hoisted, matrix)
        if product is not None:
            self.products[name] = product
            self.rewrite(product.args[0])  # its operand may contain recurrent products
        return self.graph.leaf("term", name)

    @staticmethod
    def name_hoisted(node: Node | None) -> str:
        """Returns the cell's name for a hoisted value, or one made of its functions and its first matrix."""
        assert node is not None
        if node.name or node.op == "product":
            return node.name or node.label
        inner = Splitter.name_hoisted(next((a for a in node.args if a.op not in ("const", "b", "p", "s")), node.args[0]))
        return f"{node.label}_{inner}" if node.op == "call" else inner

    def add_vector(self, node: Node) -> Node:
        name = node.name or f"v{len(self.vectors)}"
        leaf = self.graph.leaf("vector", name)
        if self.vectors.get(leaf, node) is not node:
            leaf = self.graph.leaf("vector", f"{name}_{len(self.vectors)}")
        self.vectors[leaf] = node
        return leaf

    def add_stencil_input(self, stencil: Stencil, state: str) -> Node:
        leaf = self.graph.leaf("stencil_input", f"{stencil.name}_{state}")
        self.stencil_inputs[leaf] = StencilInput(leaf, stencil, self.cell.states.index(state))
        return leaf

    def order_terms(self) -> list[str]:
        """Returns the names of the terms in the order of the equations, those with a recurrent product first."""

        def place(name: str) -> tuple[bool, int]:
            of = (self.products.get(name), self.terms[name].projection, self.terms[name].hoisted)
            return name not in self.products, next(n.index for n in of if n is not None)

        return sorted(self.terms, key=place)

    def make_stages(self, terms: tuple[Term, ...]) -> tuple[Stage, ...]:
        level: dict[str, int] = {}
        for term in terms:
            self.stage_of(term.name, level)
        return tuple(
            self.make_stage(k, [i for i, t in enumerate(terms) if level.get(t.name) == k], terms)
            for k in range(1, max(level.values(), default=0) + 1)
        )

    def stage_of(self, name: str, level: dict[str, int]) -> int:
        """Returns the number of the stage that completes a term, counted from 1; 0 without a recurrent product."""
        if name not in self.products:
            return 0
        if name not in level:
            needs = [n.label for n in walk([self.rewrite(self.products[name].args[0])]) if n.op == "term"]
            level[name] = 1 + max((self.stage_of(n, level) for n in needs), default=0)
        return level[name]

    def make_stage(self, k: int, members: list[int], terms: tuple[Term, ...]) -> Stage:
        groups: dict[tuple[Node, int], list[int]] = {}  # by heads too: a NaN in a head must not meet the zeros of a whole matrix
        for i in members:
            heads = self.cell.heads.get(f"W.{self.products[terms[i].name].matrix}", 1)
            groups.setdefault((self.rewrite(self.products[terms[i].name].args[0]), heads), []).append(i)
        computed = [a for a, _ in groups if a.op != "state"]
        if any(n.op == "stencil_input" for n in walk(computed)):
            raise cell_error(self.cell.step, "a matrix can't be applied to the result of a stencil: no schedule supports that")
        inputs = tuple(n for n in walk(computed) if n.op in ("state", "term", "vector"))
        results = tuple(f"stage{k}_{n}" for n in range(len(computed)))
        argument = Pointwise(f"stage{k}", inputs, tuple(computed), results) if computed else None
        return Stage(argument, tuple((a, tuple(g)) for (a, _), g in groups.items()))

"""Splits a function with sums over units into passes over a row, each elementwise: a sum is complete after the pass that computes what it
adds up. Values that later passes read too are kept in rows of the same width.
"""

from dataclasses import dataclass
from functools import cache

from cells.grammar.reductions import Reduction
from kernels.derive.graph import LEAVES, Graph, Node, walk
from kernels.derive.plan_types import Pointwise


@dataclass(frozen=True, eq=False)
class Passes:
    """The passes over a row that compute a function.

    Attributes:
        functions: an elementwise function for each pass. Its inputs are those of the function, then all rows; a pass reads only rows of
            passes before it. The outputs of the last one are those of the function, of the others the next rows.
        rows: for each row, the reduction that replaces it after its pass, or None.
    """

    functions: tuple[Pointwise, ...]
    rows: tuple[Reduction | None, ...]


@cache
def split_passes(f: Pointwise) -> Passes:
    """Splits a function into its passes; one without reductions is one pass."""
    nodes = list(walk(f.outputs))
    level: dict[Node, int] = {}  # the first pass that can compute a value, or read a reduction
    for n in nodes:
        level[n] = max((level[a] for a in n.args), default=0) + (n.op == "reduce")
    needed = {n: max(level.values(), default=0) for n in f.outputs}  # the first pass that reads it, which computes it
    for n in reversed(nodes):
        for a in n.args:
            at = level[n] - 1 if n.op == "reduce" else needed[n]
            needed[a] = min(needed.get(a, at), at)
    return _Splitter(f, nodes, level, needed).split()


class _Splitter:
    def __init__(self, f: Pointwise, nodes: list[Node], level: dict[Node, int], needed: dict[Node, int]):
        self.f, self.nodes, self.level, self.needed, self.graph = f, nodes, level, needed, Graph()
        self.leaves = {n: self.graph.leaf(n.op, n.label, n.width) for n in f.inputs}
        self.last = max(level.values(), default=0)
        self.kept: dict[Node, Node] = {}
        self.rows: list[Reduction | None] = []

    def split(self) -> Passes:
        bodies = [self.make_rows(k) for k in range(self.last)]
        made = dict(self.kept)
        bodies.append([self.rewrite(n, made) for n in self.f.outputs])
        leaves = (*self.leaves.values(), *(self.graph.leaf("row", f"row{k}") for k in range(len(self.rows))))
        functions = (
            Pointwise(f"{self.f.name}_pass{k}", leaves, tuple(body), tuple(f"r{i}" for i in range(len(body))))
            for k, body in enumerate(bodies)
        )
        return Passes(tuple(functions), tuple(self.rows))

    def make_rows(self, k: int) -> list[Node]:
        """Returns what pass k computes: the operands of reductions, and values that it and later passes read."""
        values = [n for n in self.nodes if self.needed.get(n) == k < self.last_read(n)]
        sums = [n for n in self.nodes if n.op == "reduce" and self.level[n] == k + 1]
        made = dict(self.kept)
        found = [self.rewrite(n, made) for n in values] + [self.rewrite(n.args[0], made) for n in sums]
        for n in (*values, *sums):
            self.kept[n] = self.graph.leaf("row", f"row{len(self.rows)}")
            self.rows.append(self.f.outputs[0].graph.reductions[n.label] if n.op == "reduce" else None)
        return found

    def last_read(self, n: Node) -> int:
        """Returns the last pass that reads a computed value; -1 for a leaf, which every pass reads, and a reduction, which has a row."""
        if n.op in LEAVES or n.op == "reduce":
            return -1
        reads = [self.level[user] - 1 if user.op == "reduce" else self.needed[user] for user in self.nodes if n in user.args]
        return max([*reads, self.last] if n in self.f.outputs else reads)

    def rewrite(self, n: Node, made: dict[Node, Node]) -> Node:
        """Returns a node over the leaves and the rows that are kept."""
        if n not in made:
            if n.op == "const":
                made[n] = self.graph.wrap(float(n.label))
            elif n in self.leaves:
                made[n] = self.leaves[n]
            else:
                made[n] = self.graph.node(n.op, *(self.rewrite(a, made) for a in n.args), label=n.label)
                made[n].name = made[n].name or n.name
        return made[n]

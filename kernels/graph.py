"""The graph of a step: one node for every operation, in the order and grouping the cell writes them.

Nodes are shared (the same operation on the same nodes is one node) and never reordered or folded, so what is printed is
what the paper wrote, and derivatives stay as small as the graph. `Node.sympy` gives the same expression to SymPy.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Union

import sympy

from cells.cell import Cell, CellError, Learned
from cells.functions import FUNCTIONS, Function

LEAVES = {"state", "x", "b", "p", "const", "term", "vector", "upstream"}
ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}


@dataclass(eq=False)
class Node:
    """A leaf ("state", "x", "b", "p", "const", …), a "product" of a matrix, arithmetic, "neg", or a function's "call".

    `width` is the input's D, the units' H, "D=H" where a cell needs both to be one, or "" for a number; `name` is the
    cell's own name for the value, where it has one; `index` counts in the order the cell computes.
    """

    graph: "Graph" = field(repr=False)
    op: str
    args: tuple["Node", ...]
    label: str = ""
    width: str = "H"
    name: str = ""
    index: int = 0

    def _with(self, op: str, other: Any, swapped: bool = False) -> "Node":
        if not isinstance(other, (Node, int, float)):
            return NotImplemented
        operands = (self, self.graph.wrap(other))
        return self.graph.node(op, *(reversed(operands) if swapped else operands))

    def __add__(self, other: Any) -> "Node":
        return self._with("add", other)

    def __radd__(self, other: Any) -> "Node":
        return self._with("add", other, swapped=True)

    def __sub__(self, other: Any) -> "Node":
        return self._with("sub", other)

    def __rsub__(self, other: Any) -> "Node":
        return self._with("sub", other, swapped=True)

    def __mul__(self, other: Any) -> "Node":
        return self._with("mul", other)

    def __rmul__(self, other: Any) -> "Node":
        return self._with("mul", other, swapped=True)

    def __truediv__(self, other: Any) -> "Node":
        return self._with("div", other)

    def __rtruediv__(self, other: Any) -> "Node":
        return self._with("div", other, swapped=True)

    def __neg__(self) -> "Node":
        return self.graph.node("neg", self)

    def __pow__(self, exponent: Any) -> "Node":
        if not isinstance(exponent, int) or exponent < 1:
            raise CellError(f"a power must be a whole number of at least 1, not {exponent}")
        return self if exponent == 1 else self * self ** (exponent - 1)

    def __bool__(self) -> bool:
        raise CellError("a cell can't branch on a value: it is traced once, for every time step and unit at once")

    def apply(self, function: Function) -> "Node":
        return self.graph.node("call", self, label=function.name)

    @property
    def value(self) -> float | None:
        """The number of a constant, None for anything else."""
        return float(self.label) if self.op == "const" else None

    def partials(self) -> tuple[Union["Node", float], ...]:
        """The derivative of this node by each of its arguments, in terms of the arguments and the node itself."""
        a = self.args
        match self.op:
            case "add":
                return 1.0, 1.0
            case "sub":
                return 1.0, -1.0
            case "neg":
                return (-1.0,)
            case "mul":
                return a[1], a[0]
            case "div":
                return 1.0 / a[1], -self / a[1]
            case "call":
                return (FUNCTIONS[self.label].derivative(a[0], self),)
        raise ValueError(f"{self.op} has no derivative")

    def sympy(self) -> sympy.Expr:
        """The node as SymPy sees it: products and leaves are real symbols, sums and products are in SymPy's order."""
        a = [arg.sympy() for arg in self.args] if self.op != "product" else []
        match self.op:
            case "add":
                return a[0] + a[1]
            case "sub":
                return a[0] - a[1]
            case "mul":
                return a[0] * a[1]
            case "div":
                return a[0] / a[1]
            case "neg":
                return -a[0]
            case "const":
                return sympy.nsimplify(self.label, rational=True)
            case "call":
                known = {"tanh": sympy.tanh, "sigmoid": lambda v: 1 / (1 + sympy.exp(-v))}
                return known.get(self.label, sympy.Function(self.label, real=True))(a[0])
        return sympy.Symbol(f"{self.op}_{self.label}", real=True)


class Graph:
    """Makes nodes, and hands back the one it has when asked for the same again."""

    def __init__(self) -> None:
        self._nodes: dict[tuple[Any, ...], Node] = {}

    def leaf(self, op: str, label: str, width: str = "H") -> Node:
        return self._share((op, label), Node(self, op, (), label, width, label))

    def wrap(self, value: Any) -> Node:
        return value if isinstance(value, Node) else self.leaf("const", repr(float(value)), "")

    def product(self, matrix: str, argument: Node) -> Node:
        return self.node("product", argument, label=matrix)

    def node(self, op: str, *args: Node, label: str = "") -> Node:
        """The node for `op` on `args`; only a 0 or 1 that changes nothing is folded away."""
        numbers = [arg.value for arg in args]
        if (op in ("add", "sub") and numbers[1] == 0) or (op in ("mul", "div") and numbers[1] == 1):
            return args[0]
        if (op == "add" and numbers[0] == 0) or (op == "mul" and numbers[0] == 1):
            return args[1]
        if op == "mul" and 0 in numbers:
            return self.wrap(0.0)
        if op == "mul" and -1 in numbers:
            return self.node("neg", args[1 - numbers.index(-1)])
        widths = {arg.width for arg in args} - {""}
        width = "H" if op == "product" else "D=H" if len(widths) > 1 else next(iter(widths), "")
        key = (op, label, *map(id, args))
        return self._share(key, Node(self, op, args, label, width))

    def _share(self, key: tuple[Any, ...], node: Node) -> Node:
        node.index = len(self._nodes)
        return self._nodes.setdefault(key, node)


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Every node the roots stand on, arguments before what uses them."""
    seen: set[int] = set()

    def visit(node: Node) -> Iterator[Node]:
        if id(node) not in seen:
            seen.add(id(node))
            for arg in node.args:
                yield from visit(arg)
            yield node

    for root in roots:
        yield from visit(root)


def trace(cell: Cell, bias: bool = True) -> tuple[Graph, tuple[Node, ...]]:
    """Run the cell's function on symbols. Returns the graph and the next states, with the cell's own names on nodes."""
    graph = Graph()

    def vector(kind: str) -> Callable[[str], Node | float]:
        return lambda name: graph.leaf(kind, name) if bias or kind == "p" else 0.0

    W = Learned(lambda name: lambda v: graph.product(name, v))
    states = [graph.leaf("state", name) for name in cell.states]
    names: dict[str, Any] = {}

    def on_return(frame: Any, event: str, _: Any) -> None:
        if event == "return" and frame.f_code is cell.step.__code__:
            names.update(frame.f_locals)

    before = sys.getprofile()
    sys.setprofile(on_return)
    try:
        outputs = cell(states, graph.leaf("x", "x", "D"), W, Learned(vector("b")), Learned(vector("p")))
    finally:
        sys.setprofile(before)
    for name, node in names.items():
        if isinstance(node, Node) and not node.name:
            node.name = name
    return graph, tuple(graph.wrap(output) for output in outputs)

"""The graph of a step: one node for every operation, in the order and grouping the cell writes them.

Nodes are shared (the same operation on the same nodes is one node) and never reordered or folded, so what is printed is
what the paper wrote, and derivatives stay as small as the graph. `Node.sympy` gives the same expression to SymPy.
"""

import math
import operator
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, NoReturn

from torch import Tensor

from cells.grammar.errors import CellError
from cells.grammar.functions import FUNCTIONS, KNOWN, Function
from cells.grammar.parameters import Learned
from cells.grammar.stencil import Stencil

SMOOTH: dict[str, Callable[[Any, Any], Any]] = {
    "exp": lambda sympy, v: sympy.exp(v),
    "log": lambda sympy, v: sympy.log(v),
    "sigmoid": lambda sympy, v: 1 / (1 + sympy.exp(-v)),
    "softplus": lambda sympy, v: sympy.log(1 + sympy.exp(v)),
    "sqrt": lambda sympy, v: sympy.sqrt(v),
    "tanh": lambda sympy, v: sympy.tanh(v),
}
"""What SymPy, given first, knows of the functions. Those with a kink stay opaque: what it would make of one there is not what they say."""

LEAVES = {"state", "x", "before", "b", "p", "s", "const", "term", "vector", "stencil_input", "upstream"}
ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
DEEPEST = 150
"""Operations that a step may nest: what walks a graph calls itself for each."""


@dataclass(eq=False)
class Node:
    """A leaf ("state", "x", "b", "p", "s", "const", …; "before" is prev(x)), a "product" of a matrix, a "stencil", arithmetic, "neg", or
    the "call" of a function.

    `width` is the input's D, the units' H, "D=H" where a cell needs both to be one, or "" for a number; `name` is the
    cell's own name for the value, where it has one; `index` counts in the order the cell computes, and `line` is where it does.
    """

    graph: "Graph" = field(repr=False)
    op: str
    args: tuple["Node", ...]
    label: str = ""
    width: str = "H"
    name: str = ""
    index: int = 0
    line: int = 0
    depth: int = 0

    __array_ufunc__ = None  # NumPy's numbers leave the arithmetic to a node

    def _with(self, op: str, other: Any, swapped: bool = False) -> "Node":
        if isinstance(other, Learned):
            other()
        if callable(other) and not isinstance(other, Node):
            raise CellError("a matrix is applied, W.name(v), and not added or multiplied")
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

    def __pos__(self) -> "Node":
        return self

    def __pow__(self, exponent: Any) -> "Node":
        if not isinstance(exponent, (int, float)) or exponent % 1 or exponent == 0:
            raise CellError(f"a power must be a whole number, and not 0; a square root is sqrt(v): not {describe(exponent)}")
        n = int(exponent)
        if n < 2:
            return self if n == 1 else 1 / self**-n
        half = self ** (n // 2)
        return self * (half * half) if n % 2 else half * half

    def __rpow__(self, base: Any) -> "Node":
        raise CellError(f"a value can't be an exponent: write exp(v * log({describe(base)}))")

    def __matmul__(self, other: Any) -> "Node":
        raise CellError("a matrix is applied as W.name(v): there is no @")

    __rmatmul__ = __matmul__

    def __lt__(self, other: Any) -> "Node":
        return FUNCTIONS["less"](self, other)

    def __gt__(self, other: Any) -> "Node":
        return FUNCTIONS["less"](other, self)

    def __le__(self, other: Any) -> "Node":
        return FUNCTIONS["at_most"](self, other)

    def __ge__(self, other: Any) -> "Node":
        return FUNCTIONS["at_most"](other, self)

    def __eq__(self, other: object) -> bool:
        if self.graph.tracing:
            raise CellError("== and != choose nothing: compare by <, <=, > or >=, as in where(h > 0, a, b)")
        return self is other

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> NoReturn:
        raise CellError("one comparison at a time: where(h > 0, where(h < 1, a, b), b)")

    __or__ = __rand__ = __ror__ = __and__

    def __iadd__(self, other: Any) -> NoReturn:
        raise CellError("+=, -=, *= and /= would change what a tensor holds: write h = h + v")

    __isub__ = __imul__ = __itruediv__ = __ipow__ = __iadd__

    def __abs__(self) -> "Node":
        return FUNCTIONS["abs"](self)

    def __bool__(self) -> bool:
        raise CellError(
            "a cell can't branch on a value, as it is traced once, for every time step and unit at once: "
            "choose with where(h > 0, a, b), maximum(a, b) or minimum(a, b)"
        )

    def __float__(self) -> float:
        raise CellError(f"a value is no number, as math and float() take one: the functions of cells.grammar.functions are {KNOWN}")

    def __call__(self, *_: Any) -> "Node":
        kind = {"b": "vector", "p": "vector", "s": "scalar"}.get(self.op)
        hint = f": a {kind} is multiplied or added, a matrix is W.{self.label}(v)" if kind else ""
        raise CellError(f"{describe(self)} can't be applied{hint}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), *_: Any) -> Any:
        if any(isinstance(a, Tensor) for a in arguments):
            raise CellError("a tensor is no part of a cell: a learned matrix is W.name(v), a learned vector p.name, and a number a number")
        raise CellError(f"torch's {function.__name__} can't be derived here: the functions of cells.grammar.functions are {KNOWN}")

    def apply(self, function: Function, *arguments: Any) -> "Node":
        """The node of `function` on `arguments`, of which this is one, or on this alone."""
        return self.graph.node("call", *(map(self.graph.wrap, arguments or (self,))), label=function.name)

    def before(self) -> "Node":
        """What x, if this is it, was one step earlier."""
        return self.graph.leaf("before", "x_before", "D")

    def stencil(self, operator: Stencil) -> "Node":
        """The node of a fixed operator applied to this."""
        if self.graph.stencils.setdefault(operator.name, operator) != operator:
            raise CellError(f"two stencils are called {operator.name}: use two names")
        return self.graph.node("stencil", self, label=operator.name)

    @property
    def value(self) -> float | None:
        """The number of a constant, None for anything else."""
        return float(self.label) if self.op == "const" else None

    def vjp(self, d: "Node") -> tuple["Node", ...]:
        """The gradient of each argument, given that of this node. A quotient's is d / b, not d · (1/b): a rounding that all steps share."""
        a = self.args
        match self.op:
            case "add":
                return d, d
            case "sub":
                return d, -d
            case "neg":
                return (-d,)
            case "mul":
                return d * a[1], d * a[0]
            case "div":
                return d / a[1], -(d / a[1] * self)
            case "call":
                return tuple(d * self.graph.wrap(partial) for partial in FUNCTIONS[self.label].partials(*a, self))
        raise ValueError(f"{self.op} has no derivative")

    def sympy(self) -> Any:
        """The node as SymPy sees it: products and leaves are real symbols, sums and products are in SymPy's order."""
        import sympy

        a = [arg.sympy() for arg in self.args] if self.op != "product" else []
        match self.op:
            case "add" | "sub" | "mul" | "div" | "neg":
                return getattr(operator, self.op.replace("div", "truediv"))(*a)
            case "const":
                return sympy.nsimplify(self.label, rational=True)
            case "call" if self.label in SMOOTH:
                return SMOOTH[self.label](sympy, *a)
            case "stencil" | "call":
                return sympy.Function(self.label, real=True)(*a)
        return sympy.Symbol(f"{self.op}_{self.label}", real=True)


class Graph:
    """Makes nodes, and hands back the one it has when asked for the same again."""

    def __init__(self, file: str = "") -> None:
        self._nodes: dict[tuple[Any, ...], Node] = {}
        self._file = file
        self.stencils: dict[str, Stencil] = {}
        self.tracing = False

    def leaf(self, op: str, label: str, width: str = "H") -> Node:
        return self._share((op, label), Node(self, op, (), label, width, label))

    def wrap(self, value: Any) -> Node:
        if isinstance(value, Node):
            if value.graph is not self:
                raise CellError("a value is of one step, and not copied or kept for another: what lasts is a state")
            return value
        if not math.isfinite(value):
            raise CellError(f"a number in a cell is finite, not {value}")
        return self.leaf("const", repr(float(value)), "")

    def product(self, matrix: str, argument: Any) -> Node:
        if not isinstance(argument, Node) or not argument.width:
            raise CellError(f"W.{matrix} is applied to {describe(argument)}: a matrix takes a state, x, or what is made of them")
        return self.node("product", argument, label=matrix)

    def node(self, op: str, *args: Node, label: str = "") -> Node:
        """The node for `op` on `args`; only a 0 or 1 that changes nothing is folded away."""
        numbers = [arg.value for arg in args]
        if (op in ("add", "sub") and numbers[1] == 0) or (op in ("mul", "div") and numbers[1] == 1):
            return args[0]
        if (op == "add" and numbers[0] == 0) or (op == "mul" and numbers[0] == 1):
            return args[1]
        if op == "div" and numbers[1] == 0:
            raise CellError("divides by 0")
        if op == "mul" and 0 in numbers:
            return self.wrap(0.0)
        if op == "mul" and -1 in numbers:
            return self.node("neg", args[1 - numbers.index(-1)])
        widths = {arg.width for arg in args} - {""}
        width = "H" if op == "product" else "D=H" if len(widths) > 1 else next(iter(widths), "")
        key = (op, label, *map(id, args))
        return self._share(key, Node(self, op, args, label, width))

    def _share(self, key: tuple[Any, ...], node: Node) -> Node:
        node.index, node.line, node.depth = len(self._nodes), self._line(), max((a.depth + 1 for a in node.args), default=0)
        if self.tracing and node.depth > DEEPEST:
            raise CellError(f"more than {DEEPEST} operations, each on the result of the one before, in one step: no schedule runs that")
        return self._nodes.setdefault(key, node)

    def _line(self) -> int:
        """The line of the cell's file that is at work, 0 without a file."""
        frame = sys._getframe(1) if self._file else None
        while frame is not None and frame.f_code.co_filename != self._file:
            frame = frame.f_back
        return frame.f_lineno if frame else 0


def describe(value: Any) -> str:
    """A value as the cell writes it, where it has a name there."""
    if isinstance(value, Node):
        named = f"{value.op}." * (value.op in ("b", "p", "s")) + value.label
        return "prev(x)" if value.op == "before" else named if value.op in LEAVES else "a value"
    holds = isinstance(value, (tuple, list, dict, set))
    return "a matrix" if callable(value) else f"a {type(value).__name__}" if holds else repr(value)


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

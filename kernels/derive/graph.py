"""The graph of a step: one node for every operation, in the order and grouping in which the cell writes them.

Nodes are shared: the same operation on the same nodes is one node. They are never reordered, so the printed code reads as the paper,
and derivatives stay as small as the graph.
"""

import math
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partialmethod
from types import CodeType, FrameType
from typing import Any, NoReturn

from torch import Tensor

from cells.grammar.errors import CellError
from cells.grammar.functions import FUNCTION_NAMES, FUNCTIONS, Function, suggest
from cells.grammar.parameters import Matrix, Parameters
from cells.grammar.reductions import Reduction
from cells.grammar.stencil import Stencil

LEAVES = {
    "state", "x", "before", "time", "noise", "mask", "mask_before", "b", "p", "s", "const", "ones", "term", "vector", "stencil_input",
    "upstream", "diagonal", "row",
}  # fmt: skip
ARITHMETIC = {"add": "+", "sub": "-", "mul": "*", "div": "/"}
MAX_DEPTH = 150
"""Maximum number of nested operations of a step: `walk` is recursive."""


@dataclass(eq=False)
class Node:
    """An operation of a step and its operands.

    Attributes:
        op: a leaf ("state", "x", "b", "p", "s", "const", …; "before" is prev(x)), "product" (by a matrix), "stencil", "reduce" (over
            units), "add", "sub", "mul", "div", "neg", or "call" (of a function).
        label: the name of the leaf, matrix ("uh", or "uh.T" transposed), stencil, reduction or function.
        width: "D" (of the input), "H" (of the states), "D=H" if both are combined elementwise, or "" for a number, one for a sequence too.
        name: the name of the value in the cell, "" if it has none.
        index, line: the position in the order of computation, and the line of the cell's file.
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

    __array_ufunc__ = None  # so that NumPy's numbers defer to the operators of a node

    def _binary(self, op: str, other: Any, swapped: bool = False) -> "Node":
        if isinstance(other, Parameters):
            other()
        if callable(other) and not isinstance(other, Node):
            name = "" if isinstance(other, Matrix) else getattr(other, "name", getattr(other, "__name__", ""))
            called = f"{name} is called, {name}({'' if name == 'time' else 'v'})" if name else "a matrix is applied, W.name(v)"
            raise CellError(f"{called}, and not added or multiplied")
        if not isinstance(other, (Node, int, float)):
            return NotImplemented
        operands = (self, self.graph.wrap(other))
        return self.graph.node(op, *(reversed(operands) if swapped else operands))

    __add__, __radd__ = partialmethod(_binary, "add"), partialmethod(_binary, "add", swapped=True)
    __sub__, __rsub__ = partialmethod(_binary, "sub"), partialmethod(_binary, "sub", swapped=True)
    __mul__, __rmul__ = partialmethod(_binary, "mul"), partialmethod(_binary, "mul", swapped=True)
    __truediv__, __rtruediv__ = partialmethod(_binary, "div"), partialmethod(_binary, "div", swapped=True)

    def __neg__(self) -> "Node":
        return self.graph.node("neg", self)

    def __pos__(self) -> "Node":
        return self

    def __pow__(self, exponent: Any) -> "Node":
        if isinstance(exponent, Node) or (isinstance(exponent, (int, float)) and exponent % 1):
            return FUNCTIONS["power"](self, exponent) if isinstance(exponent, Node) or exponent != 0.5 else FUNCTIONS["sqrt"](self)
        if not isinstance(exponent, (int, float)) or exponent == 0:
            raise CellError(f"a power must be a number but 0, or a value: not {describe(exponent)}")
        n = int(exponent)
        if n < 2:
            return self if n == 1 else 1 / self**-n
        half = self ** (n // 2)
        return self * (half * half) if n % 2 else half * half

    def __rpow__(self, base: Any) -> "Node":
        if not isinstance(base, (int, float)) or base <= 0:
            raise CellError(f"the base of a power must be positive, not {describe(base)}")
        return FUNCTIONS["exp"](self * math.log(base))

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
            raise CellError("== and != are not supported: compare by <, <=, > or >=, as in where(h > 0, a, b)")
        return self is other

    __hash__ = object.__hash__

    def __and__(self, other: Any) -> NoReturn:
        raise CellError("one comparison at a time: where(h > 0, where(h < 1, a, b), b)")

    __or__ = __rand__ = __ror__ = __and__

    def __iadd__(self, other: Any) -> NoReturn:  # type: ignore[misc]
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
        raise CellError(f"a value is not a number, so math and float() can't take it: cells.grammar.functions has {FUNCTION_NAMES}")

    def __call__(self, *_: Any) -> "Node":
        kind = {"b": "vector", "p": "vector", "s": "scalar"}.get(self.op)
        hint = f": a {kind} is multiplied or added, a matrix is W.{self.label}(v)" if kind else ""
        raise CellError(f"{describe(self)} can't be applied{hint}")

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, arguments: Any = (), *_: Any) -> Any:
        if any(isinstance(a, Tensor) for a in arguments):
            raise CellError(
                "a cell can't contain a tensor: write a learned matrix as W.name(v), a learned vector as p.name, and a constant as a number"
            )
        raise CellError(f"torch's {function.__name__} can't be derived here: {suggest(function.__name__)}")

    def apply(self, function: Function, *arguments: Any) -> "Node":
        """Returns the node of `function` applied to `arguments`, or to this node if there are none."""
        return self.graph.node("call", *(map(self.graph.wrap, arguments or (self,))), label=function.name)

    def previous_input(self) -> "Node":
        """Returns the node of prev(x), for the node of x."""
        return self.graph.leaf("before", "x_before", "D")

    def reduce(self, reduction: Reduction) -> "Node":
        """Returns the node of a reduction of this one."""
        if not self.width:
            raise CellError(f"{reduction.kind} takes values with units, and {describe(self)} is one number for all of them")
        self.graph.reductions[reduction.label] = reduction
        return self.graph.node("reduce", self, label=reduction.label)

    def stencil(self, operator: Stencil) -> "Node":
        """Returns the node of a stencil applied to this one."""
        if self.graph.stencils.setdefault(operator.name, operator) != operator:
            raise CellError(f"two stencils are called {operator.name}: use two names")
        return self.graph.node("stencil", self, label=operator.name)

    @property
    def matrix(self) -> str:
        """Returns the name of a product's matrix, transposed or not."""
        return self.label.removesuffix(".T")

    @property
    def value(self) -> float | None:
        """Returns the number of a constant, None for other nodes."""
        return float(self.label) if self.op == "const" else None

    def vjp(self, d: "Node") -> tuple["Node", ...]:
        """Returns the gradient of each operand from that of this node. For a / b it is d / b and not d · (1/b), as in all schedules."""
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
            case "reduce":  # each unit of a head reads the sum of all, so each gets the gradients of all; see Reduction for a maximum
                constant = self.graph.reductions[self.label].kind == "max"
                return (self.graph.wrap(0.0) if constant or d.value == 0 else self.graph.node("reduce", d, label=self.label),)
            case "call":
                return tuple(map(self.graph.wrap, FUNCTIONS[self.label].vjp(d, *a, self)))
        raise ValueError(f"{self.op} has no derivative")


class Graph:
    """Makes nodes; for the same operation on the same operands it returns the same node. While `tracing`, `frame` becomes the call of
    the function of that code: its local names outlive it."""

    def __init__(self, code: CodeType | None = None) -> None:
        self._nodes: dict[tuple[Any, ...], Node] = {}
        self.code = code
        self.frame: FrameType | None = None
        self.stencils: dict[str, Stencil] = {}
        self.reductions: dict[str, Reduction] = {}
        self.masks: list[Any] = []
        self.tracing = False

    def leaf(self, op: str, label: str, width: str = "H") -> Node:
        """Returns the leaf of this kind and name."""
        return self._share((op, label), Node(self, op, (), label, width, label))

    def wrap(self, value: Any) -> Node:
        """Returns a node as it is, and a finite number as a constant; raises CellError otherwise."""
        if isinstance(value, Node):
            if value.graph is not self:
                raise CellError("a cell can't reuse a value from another step: return it as a state")
            return value
        if not math.isfinite(value):
            raise CellError(f"a number in a cell must be finite, not {value}")
        return self.leaf("const", repr(float(value)), "")

    def product(self, matrix: str, argument: Any) -> Node:
        """Returns the node of W.<matrix> applied to a value; the name of a matrix that is transposed ends with ".T"."""
        if not isinstance(argument, Node) or not argument.width:
            hint = ", multiply that by a vector" if isinstance(argument, Node) and argument.value is None else ""
            raise CellError(f"W.{matrix} is applied to {describe(argument)}: a matrix takes a state, x, or what is made of them{hint}")
        return self.node("product", argument, label=matrix)

    def node(self, op: str, *args: Node, label: str = "") -> Node:
        """Returns the node for `op` on `args`. It folds only neutral elements and products with 0 or -1."""
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
        width = "" if op == "reduce" and self.reductions[label].heads == 1 else width
        return self._share((op, label, *map(id, args)), Node(self, op, args, label, width))

    def _share(self, key: tuple[Any, ...], node: Node) -> Node:
        node.index, node.line, node.depth = len(self._nodes), self._line(), max((a.depth + 1 for a in node.args), default=0)
        if self.tracing and node.depth > MAX_DEPTH:
            raise CellError(
                f"more than {MAX_DEPTH} operations, each on the result of the one before, in one step: no schedule supports that"
            )
        return self._nodes.setdefault(key, node)

    def _line(self) -> int:
        """Returns the current line of the cell's file, 0 without a file, and notes the call of the cell's function."""
        line, frame = 0, sys._getframe(1) if self.code else None
        while self.code and frame and (self.tracing or not line):
            line = line or (frame.f_lineno if frame.f_code.co_filename == self.code.co_filename else 0)
            self.frame = frame if self.tracing and frame.f_code is self.code else self.frame
            frame = frame.f_back
        return line


def describe(value: Any) -> str:
    """Describes a value for an error message, by its name in the cell if it has one."""
    if isinstance(value, Node):
        named = f"{value.op}." * (value.op in ("b", "p", "s")) + value.label
        known = {"before": "prev(x)", "time": "time()"}.get(value.op)
        return known or (named if value.op in LEAVES else "a value" if value.width else "one number for each sequence")
    holds = isinstance(value, (tuple, list, dict, set))
    return "a matrix" if callable(value) else f"a {type(value).__name__}" if holds else repr(value)


def walk(roots: Iterable[Node]) -> Iterator[Node]:
    """Yields every node that the roots depend on, in topological order: operands first."""
    seen: set[int] = set()

    def visit(node: Node) -> Iterator[Node]:
        if id(node) not in seen:
            seen.add(id(node))
            for arg in node.args:
                yield from visit(arg)
            yield node

    for root in roots:
        yield from visit(root)

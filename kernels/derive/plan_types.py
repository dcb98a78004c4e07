"""The parts of a plan: terms, stencil inputs, stages of products and pointwise functions."""

from dataclasses import dataclass
from functools import cached_property

from cells.grammar.stencil import Stencil
from kernels.derive.graph import Node, walk


@dataclass(frozen=True)
class Term:
    """A non-state input of the step function, one (T, B, H) tensor. It equals hoisted + matrix · operand; one part may be absent.

    Attributes:
        hoisted: the value computed before the loop, None if there is none.
        matrix: the matrix of the recurrent product, "" if there is none.
    """

    name: str
    hoisted: Node | None = None
    matrix: str = ""

    @cached_property
    def projection(self) -> Node | None:
        """Returns the product that the hoisted part consists of (plus vectors), None if it is anything else."""
        parts = [n for n in addends(self.hoisted) if n.op not in ("b", "p")]
        return parts[0] if len(parts) == 1 and parts[0].op == "product" else None


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of the rows of one sequence: `outputs` are expressions over the leaves `inputs`, and `results` their names. It is
    elementwise but for its reductions over units."""

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    results: tuple[str, ...]

    @cached_property
    def reductions(self) -> tuple[Node, ...]:
        """Returns the reductions of the function, operands first."""
        return tuple(n for n in walk(self.outputs) if n.op == "reduce")


@dataclass(frozen=True, eq=False)
class Stage:
    """Recurrent products that don't depend on each other.

    Attributes:
        argument: the function that computes those operands that are not states, None if all are states.
        groups: for each operand its node (a state, or an output of `argument`), and the indices of the terms of its products.
    """

    argument: Pointwise | None
    groups: tuple[tuple[Node, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class StencilInput:
    """An input of the step: `stencil` applied to the state of index `state`. `leaf` is its node in the step."""

    leaf: Node
    stencil: Stencil
    state: int


def addends(node: Node | None) -> list[Node]:
    """Returns the addends of a sum in the order written; none for None."""
    if node is None:
        return []
    return [n for arg in node.args for n in addends(arg)] if node.op == "add" else [node]

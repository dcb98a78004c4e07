"""The parts of a plan: terms, stencil inputs, stages of products and pointwise functions."""

from dataclasses import dataclass
from functools import cached_property

from cells.grammar.stencil import Stencil
from kernels.derive.graph import Node


@dataclass(frozen=True)
class Term:
    """An input of the step: hoisted + matrix · argument, either of which may be missing."""

    name: str
    hoisted: Node | None = None
    matrix: str = ""

    @cached_property
    def feed(self) -> Node | None:
        """The product in front of the loop whose rows are this term's hoisted part, if it is one (plus vectors)."""
        parts = [n for n in addends(self.hoisted) if n.op not in ("b", "p")]
        return parts[0] if len(parts) == 1 and parts[0].op == "product" else None


@dataclass(frozen=True, eq=False)
class Pointwise:
    """A function of elements: `inputs` are leaves, `outputs` expressions over them, called `results`."""

    name: str
    inputs: tuple[Node, ...]
    outputs: tuple[Node, ...]
    results: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Stage:
    """Recurrent products that can run together. `argument` computes what they are applied to, where that is not a state;
    `groups` holds, for each argument, its leaf (a state, or the output of `argument`) and the terms of its products."""

    argument: Pointwise | None
    groups: tuple[tuple[Node, tuple[int, ...]], ...]


@dataclass(frozen=True, eq=False)
class StencilInput:
    """An input of the step, `leaf`: a stencil applied to the state of that index."""

    leaf: Node
    stencil: Stencil
    state: int


def addends(node: Node | None) -> list[Node]:
    """The terms of a sum, in the order written; of nothing, none."""
    if node is None:
        return []
    return [n for arg in node.args for n in addends(arg)] if node.op == "add" else [node]

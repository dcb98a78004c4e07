"""Evaluates the graph of a cell with the operations of another library: what depends on no state before the time loop, the rest in it."""

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from cells.grammar.parameters import find_matrix
from kernels.derive.graph import Node, walk
from kernels.derive.plan import Plan

Value = Any
"""An array of a library, or the name of one in a model that is being written."""
Group = tuple[str, ...]
"""The names of matrices that multiply the same operand. They are one matrix, with the rows of all in this order."""


class Operations(Protocol):
    """The operations of a library."""

    def apply(self, node: Node, arguments: list[Value]) -> Value:
        """Returns the value of a constant, an arithmetic operation, a function of `cells.grammar.functions`, a stencil or a reduction."""
        ...

    def product(self, group: Group, operand: Value) -> Value:
        """Returns the products with all matrices of a group, side by side in the last dimension."""
        ...

    def part(self, value: Value, index: int, count: int) -> Value:
        """Returns one of `count` equal parts of the last dimension."""
        ...


class CellGraph:
    """The nodes of a cell, divided by whether they depend on a state.

    Args:
        made: The plan of the cell.

    Attributes:
        before: The nodes that depend on no state, operands first.
        inside: Those that do.
        rows: The nodes of `before` that have a value for each time step and are used inside the loop or as next states.
        constants: The nodes of `before` that are used there, and have one value for all time steps.
        groups: The group of each matrix.
    """

    def __init__(self, made: Plan):
        self.outputs = made.outputs
        self.states = made.cell.states
        nodes = list(walk(made.outputs))
        stateful, timed = find_dependents(nodes, ("state",)), find_dependents(nodes, ("x", "before", "time"))
        self.before = [n for n in nodes if n not in stateful]
        self.inside = [n for n in nodes if n in stateful]
        used = {a for n in self.inside for a in n.args} | {*self.outputs}
        self.rows = [n for n in self.before if n in used and n in timed]
        self.constants = [n for n in self.before if n in used and n not in timed]
        self.groups = group_products(made)

    def evaluate(self, nodes: Iterable[Node], known: dict[Any, Value], operations: Operations) -> None:
        """Adds the values of nodes to `known`, which has those of the leaves."""
        for n in nodes:
            if n.op != "product":
                if n not in known:
                    known[n] = operations.apply(n, [known[a] for a in n.args])
                continue
            group = self.groups[n.label]
            if (group, n.args[0]) not in known:
                known[group, n.args[0]] = operations.product(group, known[n.args[0]])
            known[n] = operations.part(known[group, n.args[0]], group.index(n.label), len(group))

    def join_weights(self, weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the trainable tensors with the matrices of each group joined; a group's name is its first matrix's."""
        joined = {f"W.{group[0]}": torch.cat([find_matrix(weights, f"W.{name}") for name in group]) for group in self.groups.values()}
        return joined | {name: value for name, value in weights.items() if not name.startswith("W.")}

    def split_weights(self, joined: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Returns the gradients of all trainable tensors from those of `join_weights`."""
        parts = {group: joined[f"W.{group[0]}"].chunk(len(group)) for group in self.groups.values()}
        found: dict[str, Tensor] = {}
        for group, split in parts.items():
            for name, part in zip(group, split, strict=True):
                key, d = f"W.{name.removesuffix('.T')}", part.transpose(-2, -1) if name.endswith(".T") else part
                found[key] = found[key] + d if key in found else d
        return found | {name: value for name, value in joined.items() if not name.startswith("W.")}


def find_dependents(nodes: Iterable[Node], leaves: tuple[str, ...]) -> set[Node]:
    """Returns the nodes that are, or depend on, a leaf of one of these kinds. Operands come first in `nodes`."""
    found: set[Node] = set()
    for n in nodes:
        if n.op in leaves or any(a in found for a in n.args):
            found.add(n)
    return found


def group_products(made: Plan) -> dict[str, Group]:
    """Returns the group of each matrix. One with heads, with several operands, or transposed is a group by itself."""
    operands: dict[str, set[Node]] = {}
    for n in made.products:
        operands.setdefault(n.label, set()).add(n.args[0])
    groups: dict[Any, list[str]] = {}
    for name, found in operands.items():
        alone = len(found) > 1 or name.endswith(".T") or made.cell.heads.get(f"W.{name}", 1) > 1
        groups.setdefault(name if alone else next(iter(found)), []).append(name)
    return {name: tuple(group) for group in groups.values() for name in group}

"""Traces a cell's function on symbols. Unsupported code is reported with its line number."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cells.grammar.cell import Cell
from cells.grammar.error_lines import locate_errors
from cells.grammar.errors import cell_error
from cells.grammar.parameters import LETTERS, Matrix, Parameters
from kernels.derive.graph import Graph, Node, walk


def trace(cell: Cell, bias: bool = True) -> tuple[Graph, tuple[Node, ...]]:
    """Runs a cell's function on symbols.

    Args:
        cell: the cell.
        bias: whether its biases `b` are parameters; otherwise they are 0.

    Returns:
        The graph, and the nodes of the next states. Nodes carry the names of the cell's local variables.

    Raises:
        CellError: the function breaks the grammar; the message ends with its file and line.
    """
    code = getattr(cell.step, "__code__", None)
    graph = Graph(code)

    def vector(kind: str) -> Callable[[str], Node | float]:
        return lambda name: graph.leaf(kind, name, "" if kind == "s" else "H") if bias or kind != "b" else 0.0

    learned = {"W": Parameters(partial(Matrix, graph.product)), **{kind: Parameters(vector(kind)) for kind in LETTERS[1:]}}
    states = [graph.leaf("state", name) for name in cell.states]
    graph.tracing = True
    try:
        with locate_errors(cell.step):
            outputs = cell(states, graph.leaf("x", "x", "D"), learned, number=graph.leaf("time", "time", ""))
    finally:
        graph.tracing = False
        names, graph.frame = dict(graph.frame.f_locals) if graph.frame else {}, None
    for name, node in names.items():
        if isinstance(node, Node) and not node.name:
            node.name = name
    strange = [o for o in outputs if not isinstance(o, (Node, int, float))]
    if strange:
        raise cell_error(cell.step, f"returns a {type(strange[0]).__name__}, not a value: return the next {', '.join(cell.states)}")
    with locate_errors(cell.step):
        next_states = tuple(graph.wrap(output) for output in outputs)
    check_cell(cell, states, next_states)
    check_init_rules(cell, next_states, bias)
    return graph, next_states


def check_cell(cell: Cell, states: list[Node], outputs: tuple[Node, ...]) -> None:
    """Raises CellError if the traced cell contradicts its arguments, has an unused state, or misuses a comparison or a matrix."""
    for fact in ("init", "domain", "heads", "start"):
        if not isinstance(getattr(cell, fact), Mapping):
            raise cell_error(cell.step, f"{fact} must be a dict from names to values, not {getattr(cell, fact)!r}")
    nodes = list(walk(outputs))
    unused = [s.label for s in states[1:] if s not in nodes]
    if unused:
        raise cell_error(cell.step, f"the state {unused[0]} is never used: remove it from the signature and from the returned states")
    products = {f"W.{n.matrix}": n for n in nodes if n.op == "product"}
    for name in cell.heads:
        if name not in products or products[name].args[0].width == "D":
            raise cell_error(cell.step, f"heads names {name}, which is not a matrix applied to a state: only such a matrix can have heads")
    for name, count in cell.heads.items():
        if not isinstance(count, int) or count < 1:
            raise cell_error(cell.step, f"heads has {count!r} for {name}: it must be a whole number, at least 1")
    for name, value in cell.start.items():
        if not isinstance(value, (int, float)) or value != value:
            raise cell_error(cell.step, f"start has {value!r} for {name}: it must be a number, the initial value of the state")
    for fact, names in (("start", cell.start), ("domain", cell.domain)):
        strange = [name for name in names if name not in cell.states]
        if strange:
            raise cell_error(cell.step, f"{fact} names {strange[0]}, which is not a state: the states are {', '.join(cell.states)}")
    for name, pair in cell.domain.items():
        if not is_range(pair):
            raise cell_error(cell.step, f"domain has {pair!r} for {name}: it must be (low, high), the range of random states")
    compared = {n for n in nodes if n.op == "call" and n.label in ("less", "at_most")}
    widths: dict[str, str] = {}
    turned = {n.matrix for n in nodes if n.op == "product" and n.label != n.matrix}
    for n in nodes:
        chosen = n.args[:1] if n.label == "where" and n.op == "call" else ()
        if any(a in compared for a in n.args[len(chosen) :]):
            raise cell_error(cell.step, "a comparison is not a value: write where(h > 0, a, b)", n.line)
        if any(a not in compared for a in chosen):
            raise cell_error(
                cell.step, "the first argument of where must be a comparison by <, <=, > or >=, as in where(h > 0, a, b)", n.line
            )
        if n.op == "stencil" and not n.args[0].width:
            message = f"{n.label} is applied to a number, which has no neighbours: make it p.name, a vector of all units"
            raise cell_error(cell.step, message, n.line)
        if n.op != "product":
            continue
        if n.matrix in turned and n.args[0].width == "D":
            message = (
                f"W.{n.label} is applied to x, and only a matrix of states can be transposed: apply another matrix to x, W.a(x), first"
            )
            raise cell_error(cell.step, message, n.line)
        if {n.args[0].width, widths.setdefault(n.matrix, n.args[0].width)} == {"D", "H"}:
            raise cell_error(cell.step, f"W.{n.label} is applied to the width of x and to that of a state: use two names", n.line)
    if any(o in compared for o in outputs):
        raise cell_error(cell.step, "a comparison is not a value: write where(h > 0, a, b)")


def check_init_rules(cell: Cell, outputs: tuple[Node, ...], bias: bool) -> None:
    """Raises CellError if `init` names no parameter of the cell, or has no valid rule for one."""
    learned = {("W" if n.op == "product" else n.op) + f".{n.matrix}" for n in walk(outputs) if n.op in ("product", *LETTERS)}
    for name, rule in cell.init.items():
        if name not in learned and name not in LETTERS and (bias or not name.startswith("b.")):
            raise cell_error(
                cell.step, f"init names {name}, which is not a parameter: the parameters are {', '.join(sorted(learned)) or 'none'}"
            )
        if not (callable(rule) or is_range((rule, rule)) or is_range(rule)):
            raise cell_error(
                cell.step, f"init has {rule!r} for {name}: it must be a number, (low, high), or a rule of cells.grammar.initializers"
            )


def is_range(rule: Any) -> bool:
    """Returns whether a rule is (low, high), two finite numbers in order."""
    return (
        isinstance(rule, tuple)
        and len(rule) == 2
        and all(isinstance(n, (int, float)) and math.isfinite(n) for n in rule)
        and rule[0] <= rule[1]
    )

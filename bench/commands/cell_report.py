"""Prints a cell: its equations, its plan, its parameters by gate, and the functions derived from it."""

import inspect
import sys
import textwrap
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from rich.syntax import Syntax
from rich.table import Column, Table

import cells
from bench.harness.cases import format_formula
from bench.measure.lower_bound import derive_formulas
from bench.render.terminal import open_console
from cells.grammar.parameters import LETTERS
from kernels.derive.adjoint import CPP, TRITON, adjoint, is_affine, print_source
from kernels.derive.cost_formulas import elements_moved, flop_counts, layer_parameter_count, parameter_count, parameter_sizes
from kernels.derive.graph import ARITHMETIC, Node
from kernels.derive.linearised import find_obstacle, linearise
from kernels.derive.plan import Plan, plan
from kernels.derive.wave_form import describe_form

UNNAMED = ("b", "p", "s", "before")
"""Operations of leaf nodes that are printed with a prefix or in another form instead of by their name."""


def print_cells() -> None:
    """Prints a table of all cells, the default ones first.

    Columns: states, products in the loop, stages, parameters, the equivalent module of torch.nn, and the paper.
    """
    table = Table(Column("cell", no_wrap=True), "states", "products\nin the loop", "stages", "parameters", "torch.nn", "paper", box=None)
    for found in describe_cells():
        last = found["cell"] == cells.DEFAULT[-1]
        table.add_row(*(" ".join(v) if isinstance(v, list) else "–" if v is None else str(v) for v in found.values()), end_section=last)
    open_console().print(table)


def describe_cells() -> list[dict[str, Any]]:
    """Returns all cells as plain data, the default ones first."""
    found = []
    for name in (*cells.DEFAULT, *(name for name in cells.names() if name not in cells.DEFAULT)):
        cell, p = cells.load(name), plan(cells.load(name))
        found.append({
            "cell": name, "states": list(cell.states), "products_in_loop": len(p.recurrent), "stages": len(p.stages),
            "parameters": format_formula(parameter_count(p)), "torch_nn": cell.torch_equivalent.module if cell.torch_equivalent else None,
            "paper": cell.paper,
        })  # fmt: skip
    return found


def print_cell(name: str) -> None:
    """Prints the equations, the plan, the parameters and the derived functions of a cell.

    Args:
        name: The cell's name, or FILE.py:NAME.
    """
    cell = cells.load(name)
    p = plan(cell)
    out = open_console(highlight=False)
    out.rule(f"[bold]{name}")
    out.print(inspect.getdoc(cell.step if ":" in name else sys.modules[cell.step.__module__]) or "", markup=False)
    out.rule("as it is written")
    out.print(highlight(textwrap.dedent(inspect.getsource(cell.step))))
    out.rule("plan")
    out.print(describe_plan(p), markup=False)
    out.rule("parameters")
    out.print(parameter_table(p))
    out.rule("derived: the pointwise functions of a step, their adjoints, and the linearised step, as Triton")
    out.print(highlight(derived_functions(p)))
    if not find_obstacle(p):
        out.rule("derived: the linearised step, as C++")
        out.print(highlight(print_source(linearise(p), CPP), "cpp"))


def highlight(text: str, language: str = "python") -> Syntax:
    """Returns source with syntax colours; long lines wrap."""
    return Syntax(text, language, theme="ansi_dark", background_color="default", word_wrap=True)


def describe_derivation(name: str) -> str:
    """Returns the plan of a cell and the functions derived from it as plain text.

    Args:
        name: The cell's name.
    """
    p = plan(cells.load(name))
    return f"{describe_plan(p)}\n\n{derived_functions(p)}"


def derived_functions(p: Plan) -> str:
    """Returns the pointwise functions of a step, their adjoints, and the linearised step, as Triton source."""
    found = [stage.argument for stage in p.stages if stage.argument] + [p.step]
    functions = [f for function in found for f in (function, adjoint(function))] + ([] if p.stencil_inputs else [linearise(p)])
    return "\n".join(print_source(f, TRITON) for f in functions)


def describe_plan(p: Plan) -> str:
    """Returns lines that list what runs before the time loop, what runs in it, and its costs."""
    shown = name_leaves(p)
    terms = [(shown[leaf], t) for leaf, t in zip(p.term_leaves, p.terms, strict=True)]
    lines = ["in front of the loop, for all T·B rows:"]
    hoisted = [(name + "'" * bool(t.matrix), t.hoisted) for name, t in sorted(terms, key=lambda term: bool(term[1].matrix))]
    lines += [f"    {name} = {format_node(value)}" for name, value in hoisted if value is not None]
    made = [(leaf.label, value) for leaf, value in zip(p.vectors, p.vector_values, strict=True) if value.op not in LETTERS]
    if made:
        lines += ["in front of the loop, once:", *(f"    {name} = {format_node(value)}" for name, value in made)]
    lines.append("in the loop, for every time step:")
    for number, stage in enumerate(p.stages, start=1):
        for argument, members in stage.groups:
            what = format_node(argument, shown)
            for name, t in map(terms.__getitem__, members):
                before = "" if t.hoisted is None else f" + {name}'"
                lines.append(f"    stage {number}:  {name} = W.{t.matrix}({what}){before}")
    lines += [f"    sum over units:  {format_node(n, shown)}" for n in p.step.reductions]
    lines += [f"    stencil:  {n.leaf.label} = {n.stencil.name}({p.cell.states[n.state]})" for n in p.stencil_inputs]
    lines.append(f"    step:     {', '.join(p.cell.states)} = F({', '.join(shown[leaf] for leaf in p.step.inputs)})")
    if p.stencil_inputs:
        lines += describe_form(p)
    elif not p.stages:
        lines.append("    no product: every unit of every sequence is on its own" + ", affine in its states" * is_affine(p.step))
    flops = "  ".join(f"{kind} {format_formula(value)}" for kind, value in flop_counts(p).items())
    lines.append(f"flops per time step and sequence: {flops}")
    lines.append(f"elements moved per time step and sequence, the weights staying on chip: {format_formula(elements_moved(p))}")
    least = {kind: format_formula(value) for kind, value in derive_formulas(p, "training", input_product=True).items()}
    lines += [
        "lower bound of training over T time steps of B sequences:",
        f"    flops     {least['hoisted']} in front of the loop, {least['recurrent']} in it",
        f"    elements  {least['bytes']} read or written",
        f"    barriers  {least['grid_syncs']} across the grid, where one multiprocessor can't hold {least['resident_bytes']} elements",
        "    time      the longest of flops / rate, (bytes - 2·caches) / copy rate",
        "              and, on a GPU, barriers · max(barrier, load from L2)",
    ]
    return "\n".join(lines)


def name_leaves(p: Plan) -> dict[Node, str]:
    """Returns a name for each input of the step, no two alike: a term that is named like another input shows its matrix."""
    names = {leaf: leaf.label for leaf in (*p.states, *p.stencil_leaves)}
    for leaf, value in zip(p.vectors, p.vector_values, strict=True):
        names[leaf] = format_node(value) if value.op in LETTERS else leaf.label
    for leaf in p.term_leaves:
        name = leaf.label
        while name in names.values():
            name = f"W_{name}"
        names[leaf] = name
    return names


def format_node(node: Node, shown: Mapping[Node, str] = MappingProxyType({})) -> str:
    """Returns a graph node in the notation of cells/; a value that has a name appears as that name, and a leaf as it is `shown`."""
    if node in shown:
        return shown[node]

    def inner(n: Node) -> str:
        if n.name and n.op not in UNNAMED and n is not node and n not in shown and n.name not in shown.values():
            return n.name
        bare = n.op not in ARITHMETIC or node.op not in ("sub", "mul", "div", "neg") or (n is node.args[0] and n.op in ("mul", "div"))
        return format_node(n, shown) if bare else f"({format_node(n, shown)})"

    args = [inner(a) for a in node.args]
    match node.op:
        case "product":
            return f"W.{node.label}({args[0]})"
        case "stencil":
            return f"{node.label}({args[0]})"
        case "reduce":
            reduction = node.graph.reductions[node.label]
            return f"{reduction.kind}({args[0]}{f', heads={reduction.heads}' if reduction.heads > 1 else ''})"
        case "call":
            signs = {"less": "<", "at_most": "<="}
            return f" {signs[node.label]} ".join(args) if node.label in signs else f"{node.label}({', '.join(args)})"
        case "add" | "sub" | "mul" | "div":
            return f" {ARITHMETIC[node.op]} ".join(args)
        case "neg":
            return f"-{args[0]}"
        case "b" | "p" | "s":
            return f"{node.op}.{node.label}"
        case "before" | "time":
            return "prev(x)" if node.op == "before" else "time()"
    return node.label


def parameter_table(p: Plan) -> Table:
    """Returns a table of all trainable parameters with their sizes and their gates. A parameter's gate is the first named value it
    contributes to."""
    table = Table("value", "size", "in", box=None)
    for key, size in parameter_sizes(p).items():
        table.add_row(key, format_formula(size), find_owner(p, key))
    table.add_section()
    table.add_row("all", format_formula(parameter_count(p)), "")
    if p.cell.torch_equivalent:
        table.add_row("in a layer, with torch's second biases", format_formula(layer_parameter_count(p)), "")
    return table


def find_owner(p: Plan, key: str) -> str:
    """Returns the first named value of the cell that a parameter contributes to."""
    kind, _, label = key.partition(".")
    for node in p.ordered_nodes:
        if node.op == ("product" if kind == "W" else kind) and node.matrix == label:
            return climb_to_named(p, node)
    return ""


def climb_to_named(p: Plan, node: Node) -> str:
    """Returns the name of the nearest named value that depends on a node."""
    above = next((n for n in p.ordered_nodes if any(a is node for a in n.args)), None)
    if above is None:
        return p.cell.states[0]
    return above.name if above.name and above.op not in UNNAMED else climb_to_named(p, above)

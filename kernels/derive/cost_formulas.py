"""The cost of a plan as SymPy formulas in D and H: parameters, flops and elements moved through memory. Importing it imports SymPy."""

from functools import cache

import sympy

from kernels.derive.graph import LEAVES, walk
from kernels.derive.plan import Plan

D, H = sympy.symbols("D H", positive=True, integer=True)


@cache
def parameter_sizes(plan: Plan) -> dict[str, sympy.Expr]:
    """Returns the number of elements of each parameter by name ("W.z", "b.u"), in the order of the equations."""
    found: dict[str, sympy.Expr] = {}
    for node in plan.ordered_nodes:
        if node.op == "product":
            columns = D if node.args[0].width == "D" else H / plan.cell.heads.get(f"W.{node.matrix}", 1)
            found[f"W.{node.matrix}"] = H * columns
        elif node.op in ("b", "p", "s"):
            found[f"{node.op}.{node.label}"] = sympy.Integer(1) if node.op == "s" else H
    return found


@cache
def parameter_count(plan: Plan) -> sympy.Expr:
    """Returns the number of parameters of the cell."""
    return sympy.expand(sum(parameter_sizes(plan).values(), sympy.Integer(0)))


@cache
def layer_parameter_count(plan: Plan) -> sympy.Expr:
    """Returns the number of parameters of a layer: those of the cell, and the second biases that torch.nn's cells have in a layer."""
    equivalent = plan.cell.torch_equivalent
    if equivalent is None:
        return parameter_count(plan)
    shapes = equivalent.shapes(D, H, plan.bias).values()
    return sympy.expand(sum((sympy.Mul(*shape) for shape in shapes), sympy.Integer(0)))


@cache
def flop_counts(plan: Plan) -> dict[str, sympy.Expr]:
    """Counts the operations of a forward pass per time step and sequence.

    Returns:
        "hoisted" and "recurrent": the products before and in the time loop, 2 operations for each weight. "pointwise": the rest of the
        step, 1 for each operation on an element. Elementwise operations before the loop are not counted.
    """
    hoisted = [n.label for n in plan.products if all(m.op != "state" for m in walk([n]))]
    pointwise = [plan.step, *(s.argument for s in plan.stages if s.argument)]
    operations = sum(n.op not in LEAVES for f in pointwise for n in walk(f.outputs))
    operations += sum(2 * len(n.stencil.taps) - 1 for n in plan.stencil_inputs)
    operations += sum(term.matrix != "" and term.hoisted is not None for term in plan.terms)
    products = {"hoisted": hoisted, "recurrent": plan.recurrent}
    counts = {
        kind: sympy.Add(*(2 * parameter_sizes(plan)[f"W.{name.removesuffix('.T')}"] for name in names)) for kind, names in products.items()
    }
    return counts | {"pointwise": operations * H}


def elements_moved(plan: Plan) -> sympy.Expr:
    """Counts the elements that a forward step of training reads or writes, per time step and sequence.

    It reads all terms, writes those with a recurrent product, and reads and writes the states; recurrent weights stay on chip.
    """
    return (len(plan.terms) + len(plan.recurrent) + 2 * len(plan.states)) * H

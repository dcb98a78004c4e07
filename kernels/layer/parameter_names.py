"""The names of a layer's parameters, made of their names in the equations.

A matrix `W.uh` is `weight_uh` and a bias `b.u` is `bias_u`, each with the suffix of its layer and direction behind it, `_l0`. A vector
`p.c` or a scalar `s.c` is called by what it does: `weight_c` if it multiplies or divides what depends on a state or an input, else
`bias_c`.
"""

from collections.abc import Iterable

from kernels.derive.plan import Plan

DEPENDENT = ("state", "x", "before")


def name_parameters(plan: Plan, names: Iterable[str]) -> dict[str, str]:
    """Returns the layer's name of each parameter.

    Args:
        plan: the plan of the cell.
        names: the names in the equations ("W.uh", "b.u"), in the order in which the result has them.
    """
    names, scales = list(names), find_scales(plan)
    found: dict[str, str] = {}
    for name in sorted(names, key=lambda name: name[0] in "ps"):
        kind, label = name.split(".")
        role = "weight" if kind == "W" or name in scales else "bias"
        short = f"{role}_{label}"
        while short in found.values():  # W.c and p.c in one cell
            short = f"{role}_{kind}_{short.removeprefix(f'{role}_')}"
        found[name] = short
    return {name: found[name] for name in names}


def find_scales(plan: Plan) -> set[str]:
    """Returns the vectors and scalars ("p.c", "s.c") that scale: a factor or divisor is made of them and of no state and no input."""
    made_of: dict[int, set[str]] = {}
    dependent: set[int] = set()
    scales: set[str] = set()
    for node in plan.ordered_nodes:
        made_of[id(node)] = {f"{node.op}.{node.label}"} if node.op in ("p", "s") else set[str]().union(*(made_of[id(a)] for a in node.args))
        if node.op in DEPENDENT or any(id(a) in dependent for a in node.args):
            dependent.add(id(node))
            if node.op in ("mul", "div"):
                scales |= set[str]().union(*(made_of[id(a)] for a in node.args if id(a) not in dependent))
    return scales


def former_names(names: Iterable[str]) -> dict[str, str]:
    """Returns the names that the first versions of this project gave a layer's parameters: `W_uh` and `b_u`."""
    return {name: name.replace(".", "_") for name in names}

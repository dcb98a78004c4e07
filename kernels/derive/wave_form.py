"""A wave as a recurrent network: how u_{t+1} follows from the equation and its differences, and the sparsity of one step.

h_t = A h_{t−1} + P x_t          A is the derivative of the step if the equation is not linear; P is the matrix of the sources
"""

from typing import TYPE_CHECKING

from cells.grammar.parameters import Parameters
from kernels.derive.graph import Graph, walk
from kernels.derive.plan import Plan

if TYPE_CHECKING:
    import sympy


def solve_equation(plan: Plan) -> "tuple[sympy.Eq, sympy.Eq, sympy.Expr] | None":
    """Solves the differences of a cell of `second_order` for u_{t+1} by SymPy.

    Returns:
        The equation u_tt = F; the one with differences in place of u_tt and u_t; and u_{t+1}, without the source. None for other cells.
    """
    import sympy

    from kernels.derive.symbolic import to_sympy

    found = getattr(plan.cell.step, "second_order", None)
    if found is None:
        return None
    equation, dt = found
    graph = Graph()
    names = ("u", "u_t", "lap_u")
    values = (graph.leaf("state", name) for name in names)
    force = to_sympy(graph.wrap(equation(*values, Parameters(lambda name: graph.leaf("p", name)))))
    force = force.subs({sympy.Symbol(f"state_{name}", real=True): sympy.Symbol(name) for name in names})
    u, rate, before, after = sympy.symbols("u u_t before u_next")
    step = sympy.Rational(str(dt))
    differences = sympy.Eq((after - 2 * u + before) / step**2, force.subs(rate, (after - before) / (2 * step)))
    rest = step**2 * (differences.rhs - differences.lhs)  # linear in u_next: F is in u_t
    return sympy.Eq(sympy.Symbol("u_tt"), force), differences, sympy.expand(rest.subs(after, 0)) / sympy.expand(-rest.diff(after))


def count_entries(plan: Plan) -> dict[str, dict[str, int]]:
    """Returns how many entries of A a row has at most, away from the edge, by next state and by state before."""
    found: dict[str, dict[str, int]] = {}
    stencils = {n.leaf: n for n in plan.stencil_inputs}
    for name, output in zip(plan.cell.states, plan.step.outputs, strict=True):
        offsets: dict[str, set[tuple[int, ...]]] = {}
        for leaf in walk([output]):
            if leaf.op == "state":
                offsets.setdefault(leaf.label, set()).add(())
            elif leaf in stencils:
                taps = {at if any(at) else () for at, _ in stencils[leaf].stencil.taps}
                offsets.setdefault(plan.cell.states[stencils[leaf].state], set()).update(taps)
        found[name] = {state: len(offsets[state]) for state in plan.cell.states if state in offsets}
    return found


def describe_form(plan: Plan) -> list[str]:
    """Returns lines on a cell with stencils: the derivation of u_{t+1} if `second_order` made it, and the form of a step."""
    solved, entries, count = solve_equation(plan), count_entries(plan), len(plan.cell.states)
    lines = []
    if solved is not None:
        force, differences, after = solved
        lines += [
            "by central differences:",
            f"    u_tt = {force.rhs}",
            f"    (u_next - 2*u + before) / dt**2 = {differences.rhs}",
            f"    u_next = {after}",
        ]
    total = sum(sum(row.values()) for row in entries.values())
    rows = "; ".join(f"{name} from {', '.join(f'{n} of {state}' for state, n in row.items())}" for name, row in entries.items())
    return [
        *lines,
        f"a step is h_t = A h_(t-1) + P x_t, h = ({', '.join(plan.cell.states)}); A is its derivative by h:",
        f"    at most {total} H of the {count**2} H² entries of A are not 0; in a row {rows}",
    ]

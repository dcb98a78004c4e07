"""The lower bound of a case: operations, memory traffic and grid-wide barriers that any backend needs, as formulas from the plan.

Products. Each runs once in the forward pass; training differentiates it by its argument and by its matrix, one more each. Not
counted: gradients of the initial states, which no case asks for, and where the rows in front of the loop are given, those of the
matrices, for the same reason.

Memory. What is given (input or rows, initial states, matrices) is read once and what is asked for (outputs; gradients of the
input or rows, and of what is learned) written once. Training keeps all states and reads them, and the input, again. What else a
backend keeps is its own choice: gates can be computed again from the states. Only a method that doesn't keep the states either,
and runs the sequence a second time for them, can do with less.

Barriers. A unit's next state needs all units of the last one, once for each stage: from the first product of a pass to its last,
each but the first waits for what all units found.
"""

from functools import cache

import sympy

from bench.measure.problem import DTYPES
from bench.records import Case, LowerBound, Mode
from kernels.derive.cost_formulas import D, H, flop_counts, parameter_count, parameter_sizes
from kernels.derive.plan import Plan

B, T = sympy.symbols("B T", positive=True, integer=True)


@cache
def lower_bound_formulas(plan: Plan, mode: Mode, input_product: bool) -> dict[str, sympy.Expr]:
    """`Demand` as formulas in T, B, D and H, with elements for bytes."""
    recurrent = sympy.Add(*(parameter_sizes(plan)[f"W.{name}"] for name in dict.fromkeys(plan.recurrent)))
    learned = parameter_count(plan) if input_product else recurrent
    width = D if input_product else H * sum(term.hoisted is not None for term in plan.terms)
    states, steps = len(plan.states) * H, T * B
    moved, turns, passes = sympy.Integer(0), sympy.Integer(0), 0
    if mode != "backward":
        moved += steps * (width + H) + B * states + learned
        turns, passes = turns + T, passes + 1
    if mode != "inference":
        again = (width if input_product else 0) + states  # the input for its matrices' gradients, and every state
        moved += steps * (again + H + width) + (learned if input_product else 0)  # dy in, dx and the gradients of what is learned out
        moved += steps * (states - H) if mode == "training" else recurrent  # other states out; or the matrices in, once more
        turns, passes = turns + (2 if input_product else 1) * T - 1, passes + 1
    hoisted = {"inference": 1, "backward": 2, "training": 3}[mode]
    return {
        "hoisted": steps * flop_counts(plan)["hoisted"] * hoisted if input_product else sympy.Integer(0),
        "recurrent": turns * B * flop_counts(plan)["recurrent"],
        "elements": sympy.expand(moved),
        "resident_bytes": recurrent,
        "grid_syncs": (T * len(plan.stages) - 1) * passes if plan.stages else sympy.Integer(0),
    }


def compute_lower_bound(plan: Plan, case: Case) -> LowerBound:
    found = lower_bound_formulas(plan, case.mode, case.input_product)
    sizes = {T: case.T, B: case.B, D: case.D, H: case.H}
    hoisted, recurrent, elements, resident_bytes, grid_syncs = (int(value.subs(sizes)) for value in found.values())
    width = DTYPES[case.dtype].itemsize
    return LowerBound(
        hoisted=hoisted, recurrent=recurrent, bytes=width * elements, resident_bytes=width * resident_bytes, grid_syncs=grid_syncs
    )

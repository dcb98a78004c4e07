"""Derives the lower bound of a case from its plan: the operations, memory traffic and grid-wide barriers that every backend needs.

Products. Each matrix product runs once in the forward pass. Training adds two more: the gradients of its argument and of its matrix.
Gradients of initial states are not counted, because no case asks for them; nor are gradients of the input matrices if the input projection
is precomputed.

Memory. Each given tensor (input or precomputed rows, initial states, matrices) is read once, and each requested tensor (outputs, gradients
of the input and of trainable parameters) is written once. Training writes all states and reads them and the input again. Other saved
tensors are a choice of the backend, since gates can be recomputed from the states. Only a method that recomputes the states as well can
need less.

Barriers. The next state of a unit needs all units of the last state, once for each stage. Every stage of a pass except the first waits for
the results of all units.
"""

from functools import cache

import sympy

from bench.measure.problem import DTYPES
from bench.records import Case, LowerBound, Mode
from kernels.derive.cost_formulas import D, H, flop_counts, parameter_count, parameter_sizes
from kernels.derive.plan import Plan

B, T = sympy.symbols("B T", positive=True, integer=True)


@cache
def derive_formulas(plan: Plan, mode: Mode, input_product: bool) -> dict[str, sympy.Expr]:
    """Returns the fields of `LowerBound` as formulas in T, B, D and H. `bytes` and `resident_bytes` count elements, not bytes."""
    recurrent = sympy.Add(
        *(parameter_sizes(plan)[f"W.{name}"] for name in dict.fromkeys(name.removesuffix(".T") for name in plan.recurrent))
    )
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
        "bytes": sympy.expand(moved),
        "resident_bytes": recurrent,
        "grid_syncs": (T * len(plan.stages) - 1) * passes if plan.stages else sympy.Integer(0),
    }


def compute_lower_bound(plan: Plan, case: Case) -> LowerBound:
    """Returns the lower bound of a case."""
    found = derive_formulas(plan, case.mode, case.input_product)
    sizes = {T: case.T, B: case.B, D: case.D, H: case.H}
    scale = dict.fromkeys(("bytes", "resident_bytes"), DTYPES[case.dtype].itemsize)
    return LowerBound(**{name: scale.get(name, 1) * int(value.subs(sizes)) for name, value in found.items()})

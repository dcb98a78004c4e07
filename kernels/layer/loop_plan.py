"""The plan of a call of a CPU's C++ loop: whether values that depend on the input alone are computed in the loop too.

In front of the loop each of their operations is a call of torch, with a thread to wake, and a pass over memory. MinimalRNN's
Φ(x) = tanh(W x + b) and its gate's product of that are three of them: without them a step of one sequence takes a quarter of the time.

Graphs, and memory="low", run the plan as it is.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from cells.grammar.cell import Cell
from kernels.derive.plan import Plan, plan
from kernels.layer.torch_operator import needs_gradients
from kernels.schedules.cpu import compiled

MAX_STEPS, MAX_SIZE, MIN_SEQUENCES = 16, 128, {False: 4, True: 32}
"""A product of such a value runs in the loop up to so many steps, up to this H, and from so many sequences on, without gradients and with.
Elsewhere reading its matrix in every step costs more than one product of all rows: MinimalRNN with one sequence on two Zen 3 cores took
0.67 times the time of the product in front at T=32, H=256, and 1.37 times at T=64; with four sequences 0.75 to 0.86 at any T from 32 to
512. With gradients eight sequences of 128 steps took 1.2 times, and 32 sequences as long."""


def choose_plan(
    cell: Cell, bias: bool, schedule: Any, T: int, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor]
) -> Plan:
    """Returns the plan that a schedule runs in a call.

    Args:
        cell, bias: as in `plan`.
        schedule: the schedule.
        T: the time steps.
        x, states, parameters: what the call is given, which needs gradients or not.
    """
    if schedule is not compiled:
        return plan(cell, bias)
    B, H = states[0].shape
    return fuse_inputs(cell, bias, T, B, H, needs_gradients(x, states, parameters))


def fuse_inputs(cell: Cell, bias: bool, T: int, B: int, H: int, trains: bool) -> Plan:
    """Returns the plan of a call by the C++ loop."""
    is_small = T <= MAX_STEPS or H <= MAX_SIZE or MIN_SEQUENCES[trains] <= B
    return plan(cell, bias, fuse_inputs=is_small or not plan(cell, bias).multiplies_values)

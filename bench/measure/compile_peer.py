"""Compiles the loop of a cell with torch.compile, in a process of its own: products with the input first, then T steps written out.

torch's own scan (torch._higher_order_ops.scan) is left out: torch 2.13 compiles none whose output is also its state, as in every cell here
("scan might be aliasing the input or the output"). Steps that are written out take compile time in proportion to T, hence LONGEST.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from bench.measure.problem import Problem
from bench.measure.workload import Result, Unsupported, Workload, copy_weights, wrap
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer import equations
from kernels.layer.autograd import unflatten
from kernels.layer.input_products import recurrence_operands

LONGEST = 32
"""The longest T that is compiled."""


def build_compiled_loop(problem: Problem) -> Workload:
    """Builds the compiled loop of a case. It compiles in the first call with gradients and in the first one without."""
    if problem.T > LONGEST:
        raise Unsupported(f"compiles every step of a loop: above T={LONGEST} that takes minutes")
    from torch.fx.experimental.proxy_tensor import make_fx  # imports torch's compiler, which takes seconds

    made, weights = plan(problem.cell), copy_weights(problem)

    def run_loop(x: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        states, learned = others[: len(problem.states)], dict(zip(weights, others[len(problem.states) :], strict=True))
        tensors = [*recurrence_operands(made, x, problem.H, learned), *states]
        y, final = equations.unroll(made, problem.T, unflatten(made, layout(made), tensors))
        return y, *final

    compiled = torch.compile(make_fx(run_loop)(problem.x, *problem.states, *problem.weights.values()), dynamic=False)

    def forward(x: Tensor, states: Sequence[Tensor], learned: Mapping[str, Tensor]) -> Result:
        y, *final = compiled(x, *states, *learned.values())
        return y, tuple(final)

    return wrap(problem, forward, weights)

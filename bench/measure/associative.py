"""torch's own associative scan, for a cell whose step is affine in the one state that it reads: h_t = a_t h_{t-1} + b_t.

a and b are the cell's, derived from its step for all times at once, with tensors and under autograd. It is torch's prototype
(`torch._higher_order_ops.associative_scan`), uncompiled, in the only mode that a CPU and a GPU share.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from kernels.derive import adjoint, affine, core
from kernels.graph import Node
from kernels.hoist import Values, inputs
from kernels.plan import Plan


def suited(plan: Plan) -> bool:
    return not plan.stages and not plan.near and affine(plan.step) and len(core(plan)) == 1


def unroll(plan: Plan, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> tuple[Tensor, tuple[Tensor, ...]]:
    """As `Cell.unroll`: x (T, B, D), states (B, H) → y (T, B, H) and the final states."""
    from torch._higher_order_ops.associative_scan import associative_scan  # torch may move it, and no other backend needs it

    (s,) = core(plan)
    shape = (len(x), *states[0].shape)
    outside = Values(inputs(plan, x), weights)
    fixed = dict(zip(plan.term_leaves, (outside[term.hoisted] for term in plan.terms), strict=True))
    fixed |= dict(zip(plan.vectors, (outside[node] for node in plan.vector_values), strict=True))

    def values(read: Tensor) -> Values:
        back = adjoint(plan.step)
        upstream = {leaf: x.new_tensor(float(k == s)) for k, leaf in enumerate(back.inputs[len(plan.step.inputs) :])}
        return Values({**fixed, **upstream, plan.states[s]: read}, {})

    def whole(values: Values, node: Node) -> Tensor:
        return torch.as_tensor(values[node], dtype=x.dtype, device=x.device).expand(shape)

    nothing = values(x.new_zeros(()))
    a, b = (whole(nothing, node) for node in (adjoint(plan.step).outputs[s], plan.step.outputs[s]))
    b = torch.cat([(a[0] * states[s] + b[0]).unsqueeze(0), b[1:]])
    _, h = associative_scan(lambda first, then: (then[0] * first[0], then[0] * first[1] + then[1]), (a, b), dim=0, combine_mode="generic")
    after = values(torch.cat([states[s].unsqueeze(0), h[:-1]]))
    found = [h if k == s else whole(after, node) for k, node in enumerate(plan.step.outputs)]
    return found[0], tuple(value[-1] for value in found)

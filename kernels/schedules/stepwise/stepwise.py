"""Per step: one cuBLAS product for each group of recurrent products, and one fused Triton kernel for the whole pointwise
step. On a GPU a chunk of steps is captured as a CUDA graph and replayed along the sequence.

Runs any plan at any size. States and their gradients are carried in float32; in 16 bit a recurrent product is rounded to the
operands' type before it is added.
"""

import os

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs

try:
    from kernels.schedules.stepwise import cuda_graph
    from kernels.schedules.stepwise.steps import Backward, Forward
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    cuda_graph = None  # type: ignore[assignment]


COMPUTES_FEEDS = False


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if cuda_graph is None:
        return "needs triton, which is not installed"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if plan.stencil_inputs and dtype != torch.float32:
        return f"applies stencils in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


def forward(loop: PassInputs) -> ForwardResult:
    trajectory = loop.allocate_result()
    steps = Forward(loop, trajectory)
    for t in range(cuda_graph.forward(steps), loop.T):
        steps.run(t)
    return trajectory


def backward(loop: PassInputs, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    steps = Backward(loop, trajectory, dy, d_final)
    for t in reversed(range(cuda_graph.count_graph_steps(steps), loop.T)):
        steps.run(t)
    cuda_graph.backward(steps)
    return steps.gradients()

"""Runs a sequence step by step: one cuBLAS product for each group of recurrent products and one fused Triton kernel for the pointwise
step. On a GPU a chunk of steps is captured as a CUDA graph and replayed along the sequence.

It runs any plan at any size. States and their gradients are carried in float32. In a 16-bit dtype a recurrent product is rounded to
that dtype before it is added.
"""

import os

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs

try:
    from kernels.schedules.stepwise import cuda_graph
    from kernels.schedules.stepwise.steps import BackwardSteps, ForwardSteps
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    cuda_graph = None  # type: ignore[assignment]


COMPUTES_PROJECTIONS = False
RUNS_BLOCKS = True


def unsupported_reason(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    """Returns None if this schedule can run a plan on a device, else a verb phrase that completes "the backend 'x' …"."""
    if cuda_graph is None:
        return "needs triton, which is not installed"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if plan.stencil_inputs and dtype != torch.float32:
        return f"applies stencils in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


def forward(inputs: PassInputs) -> ForwardResult:
    """Runs the forward pass: whole chunks as CUDA graphs, then the remaining steps."""
    result = inputs.allocate_result()
    steps = ForwardSteps(inputs, result)
    for t in range(cuda_graph.forward(steps), inputs.T):
        steps.run_step(t)
    return result


def backward(inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    """Runs the backward pass: the steps behind the last whole chunk, then whole chunks as CUDA graphs."""
    steps = BackwardSteps(inputs, result, dy, d_final)
    for t in reversed(range(cuda_graph.count_graph_steps(steps), inputs.T)):
        steps.run_step(t)
    cuda_graph.backward(steps)
    return steps.collect_gradients()

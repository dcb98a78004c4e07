"""Per step: one cuBLAS product for each group of recurrent products, and one fused Triton kernel for the whole pointwise
step. On a GPU a chunk of steps is captured as a CUDA graph and replayed along the sequence.

Runs any plan at any size. States and their gradients are carried in float32; in 16 bit a recurrent product is rounded to the
operands' type before it is added.
"""

import os

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.schedules.interface import Gradients, Loop, Trajectory

try:
    from kernels.schedules.stepwise import cuda_graph as replay
    from kernels.schedules.stepwise.steps import Backward, Forward
except ImportError as missing:
    if missing.name is None or not missing.name.startswith("triton"):
        raise
    replay = None  # type: ignore[assignment]


FEEDS = False


def unsupported(plan: Plan, dtype: torch.dtype, device: torch.device, B: int, H: int) -> str | None:
    if replay is None:
        return "needs triton, which is not installed"
    if dtype not in (torch.float32, torch.float16, torch.bfloat16):
        return f"computes in float32, float16 or bfloat16, not {str(dtype).removeprefix('torch.')}"
    if plan.near and dtype != torch.float32:
        return f"applies stencils in float32, not {str(dtype).removeprefix('torch.')}: a wave is a small difference of two states"
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        return f"needs a GPU, not a {device.type} (TRITON_INTERPRET=1 runs it in Triton's interpreter, to check it)"
    return None


def forward(loop: Loop) -> Trajectory:
    trajectory = loop.trajectory()
    steps = Forward(loop, trajectory)
    for t in range(replay.forward(steps), loop.T):
        steps.run(t)
    return trajectory


def backward(loop: Loop, trajectory: Trajectory, dy: Tensor | None, d_final: list[Tensor]) -> Gradients:
    steps = Backward(loop, trajectory, dy, d_final)
    for t in reversed(range(replay.whole(steps), loop.T)):
        steps.run(t)
    replay.backward(steps)
    return steps.gradients()

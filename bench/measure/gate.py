"""No speed without its error: a backend's outputs and gradients against the float64 reference, before it is timed.

The error of a tensor is max|Δ| / max|reference|. At a kink (relu at 0) a rounding error may flip a sign and so a derivative;
that is not an error. Where a cell has a kink and a gradient is off, what a flip could do is measured: the reference with all
biases shifted by ±KINK units of rounding. A gradient may differ by as much as those two do. So may one that is a single number, a
learned scalar's: it sums up so much that it can come out near zero by accident, and then rounding looks large beside it.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.measure.backends import Workload
from bench.measure.problem import Answer, Problem
from bench.records import Errors
from cells.grammar.functions import FUNCTIONS
from kernels.derive.plan import plan

TOLERANCE = {
    ("float64", "ieee"): 1e-10,
    ("float32", "ieee"): 5e-5,
    ("float32", "tf32"): 1e-2,
    ("float16", "ieee"): 2e-2,
    ("bfloat16", "ieee"): 1e-1,
}
KINK = 16
MOMENT = 0.002
"""Seconds."""

STEPS = 64
"""Time steps of a sequence that are kept for the check after the timing, the last among them: in a recurrence what goes wrong stays
wrong, and all steps of all cases would not fit on a GPU."""


def tolerance(dtype: str, precision: str) -> float:
    return TOLERANCE[dtype, precision if dtype == "float32" else "ieee"]


def compare_answer(problem: Problem, answer: Answer, allowed: float) -> tuple[Errors, str]:
    """The errors, and in words why the answer is wrong, or "" where it is right."""
    reference = problem.answer
    for now, then in zip(answer.outputs, reference.outputs, strict=True):
        if (now.shape, now.dtype) != (then.shape, problem.dtype):
            return Errors(output=math.inf), f"an output is {describe_tensor(now)}, not {describe_tensor(then.to(problem.dtype))}"
    outputs = max(relative_error(a, r) for a, r in zip(answer.outputs, reference.outputs, strict=True))
    gradients = {name: relative_error(answer.gradients[name], g) for name, g in reference.gradients.items()}
    worst = max(gradients, key=lambda name: gradients[name])
    errors = Errors(output=outputs, gradient=gradients[worst], worst=worst)
    if not outputs <= allowed:
        return errors, f"outputs are off by {outputs:.1e} of the largest, allowed is {allowed:.0e}"
    over = {name: e for name, e in gradients.items() if not e <= allowed}
    shaky = [name for name in over if reference.gradients[name].numel() == 1 or has_kink(problem)]
    if shaky:
        shift = KINK * torch.finfo(problem.dtype).eps
        up, down = problem.reference(shift).gradients, problem.reference(-shift).gradients
        could = {name: kink_slack(up[name], down[name], reference.gradients[name]) for name in shaky}
        over = {name: e for name, e in over.items() if not e <= allowed + could.get(name, 0.0)}
    if over:
        name = max(over, key=lambda name: over[name])
        return errors, f"the gradient of {name} is off by {over[name]:.1e} of the largest, allowed is {allowed:.0e}"
    return errors, ""


def describe_tensor(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def check_inference(problem: Problem, y: Tensor, allowed: float) -> str:
    """Why outputs computed without gradients, which may take another path, are wrong, or ""."""
    off = relative_error(y, problem.answer.outputs[0])
    return "" if off <= allowed else f"outputs without gradients are off by {off:.1e} of the largest, allowed is {allowed:.0e}"


def check_inputs_unchanged(problem: Problem, work: Workload) -> str:
    """Which of its inputs a backend has changed, or ""."""
    given = work.inputs[0]
    pairs = {s: pair for s, *pair in zip(problem.cell.states, work.states, problem.states, strict=True)} | {"dy": [work.dy, problem.dy]}
    if work.check is None and given.shape == problem.x.shape:  # else rows are given
        pairs["x"] = [given, problem.x]
    changed = [name for name, (now, before) in pairs.items() if not torch.equal(now, before)]
    return f"it changes what it is given: {', '.join(changed)}" if changed else ""


def recheck_after_timing(work: Workload, call: Callable[[], Any], before: list[Tensor], allowed: float) -> str:
    """Return why the call that was timed no longer does what it did `before`, or "". The batch is rolled by a row in between, so what
    was kept from an earlier call is as wrong as what was computed from inputs that a call has changed; and what it gave is looked at
    twice, the second time when the whole device is idle: a backend that keeps working after its call ended is detected so."""
    work.roll_batch(1)
    try:
        result = call()
        seen = batch_tensor(result).clone()
        synchronize(work.problem.device)
        late = not torch.equal(seen.nan_to_num(), batch_tensor(result).nan_to_num())
        off = max(relative_error(now, then.double()) for now, then in zip(retained_outputs(work, result, back=1), before, strict=True))
    finally:
        work.roll_batch(-1)
    if late:
        return "its output is still written to after the call has ended: on another stream or thread"
    return "" if off <= allowed else f"after the timing it is off by {off:.1e} of what it was before, with the batch rolled by a row"


def retained_outputs(work: Workload, result: Any, back: int = 0) -> list[Tensor]:
    """Return what of a call's result is compared with another's: some time steps of what has the batch in it, rolled `back` by so many
    rows, and all gradients of learned values, which are the same whichever way the batch is turned."""
    tensors = list(result) if isinstance(result, tuple) else [result]
    sequences = len(work.inputs) if isinstance(result, tuple) else 1
    return [
        sample_steps(tensor).roll(-back, 1) if place < sequences and tensor.dim() == 3 else tensor.clone()
        for place, tensor in enumerate(tensors)
        if tensor is not None
    ]  # fmt: skip


def sample_steps(sequence: Tensor) -> Tensor:
    """A copy of some of its time steps."""
    T = len(sequence)
    return sequence[torch.linspace(0, T - 1, min(T, STEPS), dtype=torch.float64).round().long().to(sequence.device)]


def sample_answer(answer: Answer) -> Answer:
    """A copy of some time steps of an answer, and of all that has no time."""
    y, *final = answer.outputs
    gradients = {name: sample_steps(g) if name == "x" else g.clone() for name, g in answer.gradients.items()}
    return Answer([sample_steps(y), *(f.clone() for f in final)], gradients)


def same_as_before(now: Answer, before: Answer, allowed: float) -> str:
    """Return why a sample of an answer differs from the one that was compared with the reference, or ""."""
    pairs = [*zip(now.outputs, before.outputs, strict=True), *((now.gradients[name], g) for name, g in before.gradients.items())]
    off = max(relative_error(a, b.double()) for a, b in pairs)
    return "" if off <= allowed else f"after the timing its answer is off by {off:.1e} of what it was when it was checked"


def synchronize(device: torch.device) -> None:
    """Wait for all work on a GPU, on whichever stream; on a CPU, where threads can't be waited for, give them a moment."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    else:
        time.sleep(MOMENT)


def batch_tensor(result: Any) -> Tensor:
    """The tensor of a call's result that has the batch in it: y, or the gradient of the input."""
    return result[0] if isinstance(result, tuple) else result


def relative_error(value: Tensor, reference: Tensor) -> float:
    """max|Δ| / max|reference|, infinite where a value is not finite; against a reference of zeros, max|Δ|."""
    difference = (value.double() - reference).abs().max().item()
    scale = reference.abs().max().item() or 1.0
    return difference / scale if torch.isfinite(value).all() else float("inf")


def kink_slack(up: Tensor, down: Tensor, reference: Tensor) -> float:
    return ((up - down).abs().max() / reference.abs().max().clamp_min(1e-300)).item()


def has_kink(problem: Problem) -> bool:
    return any(n.op == "call" and FUNCTIONS[n.label].has_kink for n in plan(problem.cell).ordered_nodes)

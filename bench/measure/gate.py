"""Checks the outputs and gradients of a backend against the float64 reference before it is timed.

The error of a tensor is max|Δ| / max|reference|. At a kink (relu at 0) a rounding error may flip a sign and therefore a derivative, which
is not an error of the backend. If a cell has a kink and a gradient is off, the effect of such flips is measured: the reference is computed
with all biases shifted by ±KINK units of rounding, and the gradient may differ by as much as these two do. The same tolerance applies to a
gradient that is a single number: it is a large sum that can be near zero by chance, and rounding looks large beside it.
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

KINK = 16
MOMENT = 0.002
"""Seconds to wait for the threads of a CPU."""

STEPS = 64
"""The number of time steps that are kept for the check after the timing, always with the last one. In a recurrence an error persists, and
all steps of all cases would not fit on a GPU."""


def compare_answer(problem: Problem, answer: Answer, allowed: float) -> tuple[Errors, str]:
    """Compares an answer with the float64 reference.

    Args:
        problem: The problem, which has the reference.
        answer: Outputs and gradients of a backend.
        allowed: The largest allowed error.

    Returns:
        The errors, and the reason why the answer is wrong, or "".
    """
    reference = problem.answer
    for now, then in zip(answer.outputs, reference.outputs, strict=True):
        if (now.shape, now.dtype) != (then.shape, problem.dtype):
            return Errors(output=math.inf), f"an output is {describe_tensor(now)}, not {describe_tensor(then.to(problem.dtype))}"
    outputs = max(compute_error(a, r) for a, r in zip(answer.outputs, reference.outputs, strict=True))
    gradients = {name: compute_error(answer.gradients[name], g) for name, g in reference.gradients.items()}
    worst = max(gradients, key=lambda name: gradients[name])
    errors = Errors(output=outputs, gradient=gradients[worst], worst=worst)
    if not outputs <= allowed:
        return errors, f"outputs are off by {outputs:.1e} of the largest, allowed is {allowed:.0e}"
    over = {name: e for name, e in gradients.items() if not e <= allowed}
    shaky = [name for name in over if reference.gradients[name].numel() == 1 or has_kink(problem)]
    if shaky:
        shift = KINK * torch.finfo(problem.dtype).eps
        up, down = problem.reference(shift).gradients, problem.reference(-shift).gradients
        could = {name: measure_kink_slack(up[name], down[name], reference.gradients[name]) for name in shaky}
        over = {name: e for name, e in over.items() if not e <= allowed + could.get(name, 0.0)}
    if over:
        name = max(over, key=lambda name: over[name])
        return errors, f"the gradient of {name} is off by {over[name]:.1e} of the largest, allowed is {allowed:.0e}"
    return errors, ""


def describe_tensor(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def check_inference(problem: Problem, y: Tensor, allowed: float) -> str:
    """Returns why the outputs y (T, B, H) of a call without gradients are wrong, or "". Such a call may take another code path."""
    off = compute_error(y, problem.answer.outputs[0])
    return "" if off <= allowed else f"outputs without gradients are off by {off:.1e} of the largest, allowed is {allowed:.0e}"


def check_inputs_unchanged(problem: Problem, work: Workload) -> str:
    """Returns which inputs a backend has changed, or ""."""
    given = work.inputs[0]
    pairs = {s: pair for s, *pair in zip(problem.cell.states, work.states, problem.states, strict=True)} | {"dy": [work.dy, problem.dy]}
    if work.check is None and given.shape == problem.x.shape:  # else rows are given
        pairs["x"] = [given, problem.x]
    changed = [name for name, (now, before) in pairs.items() if not torch.equal(now, before)]
    return f"it changes what it is given: {', '.join(changed)}" if changed else ""


def recheck_after_timing(work: Workload, call: Callable[[], Any], before: list[Tensor], allowed: float) -> str:
    """Repeats the timed call and compares its result with the one before the timing.

    The batch is rolled by one row in between: outputs cached from an earlier call, or inputs changed by a call, then give a wrong result.
    The output is read twice, the second time after the device is idle, to detect a backend that keeps writing after its call has returned.

    Args:
        work: The workload.
        call: The timed call.
        before: The result before the timing, from `copy_outputs`.
        allowed: The largest allowed error.

    Returns:
        The reason why the result is wrong, or "".
    """
    work.roll_batch(1)
    try:
        result = call()
        seen = select_batch_tensor(result).clone()
        synchronize(work.problem.device)
        late = not torch.equal(seen.nan_to_num(), select_batch_tensor(result).nan_to_num())
        off = max(compute_error(now, then.double()) for now, then in zip(copy_outputs(work, result, back=1), before, strict=True))
    finally:
        work.roll_batch(-1)
    if late:
        return "its output is still written to after the call has ended: on another stream or thread"
    return "" if off <= allowed else f"after the timing it is off by {off:.1e} of what it was before, with the batch rolled by a row"


def copy_outputs(work: Workload, result: Any, back: int = 0) -> list[Tensor]:
    """Copies the part of a result that is compared later.

    Args:
        work: The workload.
        result: y, or the gradients of a call.
        back: By how many rows to roll the batch back.

    Returns:
        Some time steps of the tensors with a batch, and all gradients of trainable parameters, which do not depend on the order of the
            batch.
    """
    tensors = list(result) if isinstance(result, tuple) else [result]
    sequences = len(work.inputs) if isinstance(result, tuple) else 1
    known = [(k, t) for k, t in enumerate(tensors) if t is not None]
    return [sample_steps(t).roll(-back, 1) if k < sequences and t.dim() == 3 else t.clone() for k, t in known]


def sample_steps(sequence: Tensor) -> Tensor:
    """Returns a copy of some time steps of a sequence (T, …)."""
    T = len(sequence)
    return sequence[torch.linspace(0, T - 1, min(T, STEPS), dtype=torch.float64).round().long().to(sequence.device)]


def sample_answer(answer: Answer) -> Answer:
    """Returns a copy of an answer with some time steps of its sequences, and all of its other tensors."""
    y, *final = answer.outputs
    gradients = {name: sample_steps(g) if name == "x" else g.clone() for name, g in answer.gradients.items()}
    return Answer([sample_steps(y), *(f.clone() for f in final)], gradients)


def recheck_answer(now: Answer, before: Answer, allowed: float) -> str:
    """Returns why a sampled answer differs from the sample that was compared with the reference, or ""."""
    pairs = [*zip(now.outputs, before.outputs, strict=True), *((now.gradients[name], g) for name, g in before.gradients.items())]
    off = max(compute_error(a, b.double()) for a, b in pairs)
    return "" if off <= allowed else f"after the timing its answer is off by {off:.1e} of what it was when it was checked"


def synchronize(device: torch.device) -> None:
    """Waits for all work on a GPU. The threads of a CPU can't be waited for, so there it sleeps for a moment."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    else:
        time.sleep(MOMENT)


def select_batch_tensor(result: Any) -> Tensor:
    """Returns the tensor of a result that has a batch: y, or the gradient of the input."""
    return result[0] if isinstance(result, tuple) else result


def compute_error(value: Tensor, reference: Tensor) -> float:
    """Returns max|Δ| / max|reference|; max|Δ| if the reference is zero; infinity if a value is not finite."""
    difference = (value.double() - reference).abs().max().item()
    scale = reference.abs().max().item() or 1.0
    return difference / scale if torch.isfinite(value).all() else float("inf")


def measure_kink_slack(up: Tensor, down: Tensor, reference: Tensor) -> float:
    """Returns the difference of two gradients, relative to the largest entry of the reference."""
    return ((up - down).abs().max() / reference.abs().max().clamp_min(1e-300)).item()


def has_kink(problem: Problem) -> bool:
    """Returns whether a cell applies a function with a kink."""
    return any(n.op == "call" and FUNCTIONS[n.label].has_kink for n in plan(problem.cell).ordered_nodes)

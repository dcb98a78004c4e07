"""Checks the outputs and gradients of a backend against the float64 reference before it is timed.

The error of a tensor is max|Δ| / max|reference|. At a kink (relu at 0) a rounding error may flip a sign and therefore a derivative, which
is not an error of the backend: `bench.measure.kinks` then repeats the reference with the branches that the backend took. A gradient that
is a single number is a large sum that can be near zero by chance, and rounding looks large beside it: it may differ by as much as it does
when all weights are changed by ROUNDINGS units of rounding.
"""

import math
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from bench.measure import kinks
from bench.measure.gradient_scale import SCALE, check_scales
from bench.measure.problem import Answer, Problem
from bench.measure.workload import Workload
from bench.records import Errors

ROUNDINGS = 16
"""Units of rounding by which all weights are changed, to see how far rounding moves a gradient of one number."""

BRANCHES = 3.0
"""The allowed multiple of the error of the equations in the dtype of the problem, or of the difference of two answers with random branches,
where the branches of a backend can't be found."""

MOMENT = 0.002
"""Seconds to wait for the threads of a CPU."""

STEPS = 64
"""The number of time steps that are kept for the check after the timing, always with the last one. In a recurrence an error persists, and
all steps of all cases would not fit on a GPU."""


def check_workload(problem: Problem, work: Workload, answer: Answer, allowed: float, gradients: bool) -> tuple[Errors, str]:
    """Compares an answer with the float64 reference, checks a call without gradients, and whether the inputs are unchanged.

    Args:
        problem: The problem, which has the reference.
        work: The workload.
        answer: Its answer.
        allowed: The largest allowed error.
        gradients: Whether the backend has gradients.

    Returns:
        The errors, and the reason why the workload is wrong, or "".
    """
    errors, wrong = (compare_answer if gradients else compare_outputs)(problem, answer, allowed)
    return errors, wrong or check_inference(problem, work.infer(), allowed) or check_inputs_unchanged(problem, work)


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
    if wrong := check_shapes(problem, answer):
        return Errors(output=math.inf), wrong
    errors, slack = list_errors(answer, reference), dict[str, float]()
    if max(errors.values()) > allowed:
        own = list_errors(answer, problem.rounded)
        errors = {name: min(e, own[name]) for name, e in errors.items()}
    if max(errors.values()) > allowed and kinks.has_kink(problem):
        followed = kinks.follow_branches(problem, answer)
        left = list_errors(answer, followed or reference)
        if max(left.values()) < max(errors.values()):
            errors, reference = left, followed or reference
        if max(errors.values()) > allowed and (followed is None or allowed > SCALE):
            own = list_errors(problem.rounded, problem.answer)
            drawn = list_errors(*kinks.draw_branches(problem))
            slack = {name: BRANCHES * max((e for e in (own[name], drawn[name]) if math.isfinite(e)), default=0.0) for name in own}
    scalars = [name for name, e in errors.items() if e > allowed and name != "outputs" and reference.gradients[name].numel() == 1]
    if scalars:
        shift = ROUNDINGS * torch.finfo(problem.dtype).eps
        up, down = problem.reference(shift=shift).gradients, problem.reference(shift=-shift).gradients
        slack |= {name: ((up[name] - down[name]).abs() / reference.gradients[name].abs().clamp_min(1e-300)).item() for name in scalars}
    errors = {name: e - min(e, slack.get(name, 0.0)) for name, e in errors.items()}
    outputs = errors.pop("outputs")
    worst = max(errors, key=lambda name: errors[name])
    found = Errors(output=outputs, gradient=errors[worst], worst=worst)
    if not outputs <= allowed:
        return found, f"outputs are off by {outputs:.1e} of the largest, allowed is {allowed:.0e}"
    if not errors[worst] <= allowed:
        return found, f"the gradient of {worst} is off by {errors[worst]:.1e} of the largest, allowed is {allowed:.0e}"
    if allowed <= SCALE:
        return found, ""
    told, wrong = check_scales(problem, answer, reference)
    return found.model_copy(update={"scale": told}), wrong


def compare_outputs(problem: Problem, answer: Answer, allowed: float) -> tuple[Errors, str]:
    """Compares the outputs alone with the float64 reference, for a backend without gradients. As `compare_answer`."""
    if wrong := check_shapes(problem, answer):
        return Errors(output=math.inf), wrong
    off = max(compute_error(a, r) for a, r in zip(answer.outputs, problem.answer.outputs, strict=True))
    return Errors(output=off), "" if off <= allowed else f"outputs are off by {off:.1e} of the largest, allowed is {allowed:.0e}"


def check_shapes(problem: Problem, answer: Answer) -> str:
    """Returns which output has another shape or dtype than the reference, or ""."""
    pairs = zip(answer.outputs, (then.to(problem.dtype) for then in problem.answer.outputs), strict=True)
    wrong = [(now, then) for now, then in pairs if (now.shape, now.dtype) != (then.shape, then.dtype)]
    return f"an output is {describe_tensor(wrong[0][0])}, not {describe_tensor(wrong[0][1])}" if wrong else ""


def list_errors(answer: Answer, reference: Answer) -> dict[str, float]:
    """Returns the errors by tensor: "outputs", or the name of a gradient."""
    outputs = max(compute_error(a, r) for a, r in zip(answer.outputs, reference.outputs, strict=True))
    return {"outputs": outputs} | {name: compute_error(answer.gradients[name], g) for name, g in reference.gradients.items()}


def describe_tensor(tensor: Tensor) -> str:
    return f"{tuple(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"


def check_inference(problem: Problem, y: Tensor, allowed: float) -> str:
    """Returns why the outputs y (T, B, H) of a call without gradients are wrong, or "". Such a call may take another code path."""
    off = compute_error(y, problem.inferred)
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

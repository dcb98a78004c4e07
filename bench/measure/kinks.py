"""Tells a branch that was taken within rounding distance of a kink from an error.

A cell has a kink where a derivative jumps: relu and abs at 0, maximum, minimum and comparisons where both sides are equal, the hard
functions at both ends. Rounding can move an argument to the other side, and then a gradient differs by much more than rounding. Such a
branch is *open*: its argument lies closer to the kink than rounding moves it, which is measured, by running the equations in the dtype of
the problem beside float64. The float64 reference is repeated with the branches that the backend took, by the first of these that applies:

- If the output of a step is itself a relu, it is positive or zero, and the outputs show every branch.
- If a sequence has few open branches, each argument is tried on the other side and on the kink itself. What is closest to the
  outputs and gradients of that sequence (y, x, initial states) counts. Sequences don't affect each other there, so one branch of each is
  tried at once. The gradients of the parameters have no vote.

With the branches found, the answer is held to the same tolerance as that of any other cell. Otherwise, as in 16 bit, `draw_branches` shows
how much open branches matter.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.measure.problem import Answer, Problem
from cells.grammar.functions import FUNCTIONS
from kernels.derive.plan import plan
from kernels.layer import random_masks

MOST, TRIED = 16, 2048
"""The largest number of open branches of a sequence that are tried, and that times the time steps, if it allows more."""
ROUNDINGS = 4
"""An argument is near a kink within this multiple of the largest rounding error of its row."""

PASSES = 3
"""The most passes over all open branches of a sequence."""

AGREED, MOST_AGREED = 16, 1e-5
"""A sequence agrees with the reference, and none of its branches is tried, within this many units of rounding and this part of the largest
entry: in 16 bit none does."""

SIDE = 1e-13
"""The distance beyond a kink at which an argument is put in float64, relative to its size or 1."""

AS_IT_IS, BEYOND, ON_IT = 0, 1, 2
"""The places of an argument: as it is, just on the other side of its kink, or on the kink, where torch has a derivative of its own."""

Branches = Mapping[int, Tensor]
"""By the number of the call of a function with a kink, where its arguments are put, int8 (B, H)."""


def subtract(a: Tensor, b: Tensor | float) -> Tensor:
    return a - b


DISTANCE: dict[Any, Callable[..., Tensor]] = {
    torch.relu: lambda v: v, torch.abs: lambda v: v, F.hardtanh: lambda v: v - v.sign(), F.relu6: lambda v: v - 6.0 * (v > 3),
    **dict.fromkeys((torch.maximum, torch.minimum, Tensor.lt, Tensor.le, Tensor.gt, Tensor.ge), subtract),
}  # fmt: skip
"""By function: the distance of its first argument from the nearest kink, with a sign that says on which side it is."""


class KinkMode(TorchFunctionMode):
    """While it is active, puts the arguments that `moved` names elsewhere, and records functions and distances from kinks in `recorded`."""

    def __init__(self, moved: Branches | None = None, record: bool = False):
        super().__init__()
        self.moved, self.record = moved or {}, record
        self.calls, self.recorded = 0, list[tuple[Any, Tensor]]()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in DISTANCE:
            moved = self.moved.get(self.calls)
            self.calls += 1
            if self.record or moved is not None:
                distance = DISTANCE[func](*args).detach()
                if self.record:
                    self.recorded.append((func, distance.float()))
                if moved is not None:
                    kink = args[0].detach() - distance
                    beyond = kink - (kink.abs() + 1) * SIDE * torch.where(distance > 0, 1.0, -1.0)
                    put = torch.where(moved == BEYOND, beyond, kink) - args[0].detach()
                    args = (args[0] + torch.where(moved == AS_IT_IS, 0.0, put), *args[1:])
        return func(*args, **(kwargs or {}))


@dataclass(frozen=True)
class Call:
    """A call of a function with a kink in one time step.

    Attributes:
        step: The time step.
        distance: The distance of each argument from the kink, (B, H).
        open: Whether rounding may move the argument to the other side.
        is_output: Whether the function is relu and its value the output of the step.
    """

    step: int
    distance: Tensor
    open: Tensor
    is_output: bool


def has_kink(problem: Problem) -> bool:
    """Returns whether a cell applies a function with a kink."""
    return any(n.op == "call" and FUNCTIONS[n.label].has_kink for n in plan(problem.cell).ordered_nodes)


def follow_branches(problem: Problem, answer: Answer) -> Answer | None:
    """Finds the reference for an answer of a cell with a kink.

    Args:
        problem: The problem.
        answer: Outputs and gradients of a backend.

    Returns:
        The float64 answer with the branches that the backend took; None if too many are open.
    """
    calls, most = dict(enumerate(find_calls(problem))), max(MOST, TRIED // problem.T)
    y = answer.outputs[0]
    shown = {k: (call.open & ((y[call.step] > 0) != (call.distance > 0))).to(torch.int8) for k, call in calls.items() if call.is_output}
    if count_open(calls) > most:
        calls = {k: call for k, call in calls.items() if not call.is_output}
    return problem.reference(KinkMode(try_branches(problem, answer, shown, calls))) if count_open(calls) <= most else None


def count_open(calls: Mapping[int, Call]) -> int:
    """Returns the largest number of open branches in a sequence."""
    return int(torch.stack([call.open.sum(1) for call in calls.values()]).sum(0).max()) if calls else 0


def find_calls(problem: Problem) -> list[Call]:
    """Runs the equations without gradients in float64 and in the dtype of the problem, and returns all calls with a kink in order."""
    exact, outputs = record_distances(problem, torch.float64)
    rounded, _ = record_distances(problem, problem.dtype)
    per_step, epsilon = len(exact) // problem.T, torch.finfo(problem.dtype).eps
    found = []
    for k, ((function, there), (_, here)) in enumerate(zip(exact, rounded, strict=True)):
        size = there.abs().nan_to_num(0, 0, 0).amax(1, keepdim=True)
        off = (here - there).abs().nan_to_num(0, 0, 0).amax(1, keepdim=True)
        is_output = function is torch.relu and torch.equal(there.clamp_min(0), outputs[k // per_step])
        found.append(Call(k // per_step, there, there.abs() < ROUNDINGS * (off + epsilon * size), is_output))
    return found


def record_distances(problem: Problem, dtype: torch.dtype) -> tuple[list[tuple[Any, Tensor]], Tensor]:
    """Returns the function and the distances (B, H) of each call with a kink, and y (T, B, H), in float32."""
    weights = {name: value.to(dtype) for name, value in problem.weights.items()}
    given = plan(problem.cell), problem.x.to(dtype), [s.to(dtype) for s in problem.states], weights, problem.masks
    with torch.no_grad(), KinkMode(record=True) as mode:
        y, _ = random_masks.unroll(*given)
    rows = [(function, torch.atleast_1d(distance).expand(problem.B, -1)) for function, distance in mode.recorded]
    return rows, y.float()


def try_branches(problem: Problem, answer: Answer, known: Branches, calls: Mapping[int, Call]) -> Branches:
    """Returns `known` with the open branches changed that the answer contradicts. The k-th of every sequence that is off is tried at once,
    and all again, in up to PASSES, after some were changed: a wrong one may look right until another is put right."""
    branches = dict(known)
    for _ in range(PASSES):
        differences = find_differences(answer, problem.reference(KinkMode(branches)))
        best, off = differences.square().sum(1), differences.abs().amax(1) > min(AGREED * torch.finfo(problem.dtype).eps, MOST_AGREED)
        tried = [(k, b, h) for k, call in calls.items() for b, h in (call.open & off[:, None]).nonzero().tolist()]
        rows: dict[int, list[tuple[int, int, int]]] = {}
        for k, b, h in sorted(tried, key=lambda place: calls[place[0]].distance[place[1:]].abs().item()):
            rows.setdefault(b, []).append((k, b, h))
        changed = False
        for rank in range(max(map(len, rows.values()), default=0)):
            now = [row[rank] for row in rows.values() if rank < len(row)]
            turns: dict[tuple[int, int, int], int] = {}
            for turn in (1, 2):
                moved = KinkMode(turn_branches(branches, calls, now, turn))
                found = find_differences(answer, problem.reference(moved)).square().sum(1)
                turns |= {place: turn for place in now if found[place[1]] < best[place[1]]}
                best = torch.minimum(found, best)
            for turn in (1, 2):
                branches = turn_branches(branches, calls, [place for place in now if turns.get(place) == turn], turn)
            changed = changed or bool(turns)
        if not changed:
            break
    return branches


def turn_branches(known: Branches, calls: Mapping[int, Call], places: Iterable[tuple[int, int, int]], turn: int) -> dict[int, Tensor]:
    """Returns `known` with the arguments at `places` (call, sequence, unit) put `turn` of the three places further."""
    branches = dict(known)
    for k in {place[0] for place in places}:
        branches[k] = branches[k].clone() if k in branches else torch.zeros_like(calls[k].open, dtype=torch.int8)
    for k, b, h in places:
        branches[k][b, h] = (branches[k][b, h] + turn) % 3
    return branches


def find_differences(answer: Answer, reference: Answer) -> Tensor:
    """Returns the differences of y, final states, x's gradient and those of the initial states, of each sequence (B, n), each relative to
    the largest entry of its tensor."""
    gradients = [(answer.gradients[name], g) for name, g in reference.gradients.items() if "." not in name]
    pairs = [*zip(answer.outputs, reference.outputs, strict=True), *gradients]
    found = [(a.double() - r) / r.abs().max().clamp_min(1e-300) for a, r in pairs]
    return torch.cat([(d.transpose(0, 1) if d.dim() == 3 else d).flatten(1) for d in found], 1)


def draw_branches(problem: Problem) -> tuple[Answer, Answer]:
    """Returns two float64 answers, with the argument of every open branch put at random."""
    generator = torch.Generator().manual_seed(0)
    found = [call.open for call in find_calls(problem)]
    branches = [{k: o * torch.randint(3, o.shape, generator=generator).to(o.device) for k, o in enumerate(found)} for _ in range(2)]
    first, second = (problem.reference(KinkMode(moved)) for moved in branches)
    return first, second

"""Checks the scale of every gradient where the tolerance itself is too coarse for it, as in 16 bit.

The scale is the median of the ratios of the entries to those of a reference, weighted by the reference: the projection that has the
smallest sum of absolute residuals. A few entries, far off because of a branch, hardly move it, while a least-squares projection has three
times its scatter at kinks. It may differ from 1 by SCALE, or by DEVIATIONS times as much as rounding moves it, if that is more: then the
record says which error is still found. How far rounding moves it is measured:

- The equations run in the dtype of the problem. An answer that is NEAR to theirs, as that of a Python loop is, is compared with them.
- The float64 equations run DRAWS times with the result of every function off by up to half a unit of rounding, at random.
- Apart from its scale, a gradient is off by some distance. If that is less than for the equations in the dtype of the problem, as it is for
  a kernel with float32 states, rounding moves its scale less by the same part.
"""

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from bench.measure import kinks
from bench.measure.problem import Answer, Problem

SCALE = 0.005
"""The allowed deviation of a gradient's scale where rounding moves it less. An error of twice that is found."""
ENTRIES, SAMPLED = 64, 2**18
"""The fewest entries of a gradient whose scale is checked, and about the most that are looked at."""
NEAR = 0.5
"""The part of the distance to the float64 reference within which an answer is compared with the equations in its own dtype."""
DRAWS, DEVIATIONS = 4, 3.0
"""The number of draws of rounding errors, and the allowed multiple of the root mean square of the deviations that they cause."""
LEAST = 0.01
"""The part of the usual distance below which rounding can't move a scale."""


class RoundingNoise(TorchFunctionMode):
    """While it is active, every result of a function of a batch is off by up to half a unit of rounding, and so is its derivative."""

    def __init__(self, dtype: torch.dtype, device: torch.device, seed: int):
        super().__init__()
        self.unit, self.generator = torch.finfo(dtype).eps, torch.Generator(device).manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if not isinstance(result, Tensor) or result.dim() != 2 or not result.is_floating_point():
            return result
        half = self.unit / 2
        return result * torch.empty_like(result).uniform_(1 - half, 1 + half, generator=self.generator)


SPREADS: WeakKeyDictionary[Problem, dict[str, float]] = WeakKeyDictionary()
"""The results of `measure_spread` by problem, for its other backends."""


class Scale(NamedTuple):
    """A gradient's scale.

    Attributes:
        factor: Its factor to what it is compared with.
        near: Whether that are the equations in the dtype of the problem.
        own: The factor of those to the float64 reference.
        part: The distance of the gradient, apart from its scale, as a part of theirs; 1 if it is more.
    """

    factor: float
    near: bool
    own: float
    part: float


def check_scales(problem: Problem, answer: Answer, reference: Answer) -> tuple[float, str]:
    """Checks the scale of every gradient of ENTRIES entries and more.

    Args:
        problem: The problem.
        answer: Outputs and gradients of a backend.
        reference: The float64 answer, with the branches that the backend took if they are known.

    Returns:
        The smallest error of a scale that is found in all of them, because rounding moves them less; and which gradient is wrong, or "".
    """
    names = [name for name, g in reference.gradients.items() if g.numel() >= ENTRIES and g.any()]
    found = {name: measure_scale(problem, answer, reference, name) for name in names}
    allowed = limit_scales(problem, found)
    wrong = [name for name, scale in found.items() if not abs(scale.factor - 1) <= allowed[name]]
    if not all(found[name].near for name in wrong) and kinks.has_kink(problem):
        followed = kinks.follow_branches(problem, answer)
        found |= {name: measure_scale(problem, answer, followed or reference, name) for name in wrong}
        wrong = [name for name in wrong if not abs(found[name].factor - 1) <= allowed[name]]
    words = [f"the gradient of {n} is {found[n].factor:.3f} times what it should be, allowed is 1 ± {allowed[n]:.3f}" for n in wrong]
    return 2 * max(allowed.values(), default=SCALE), words[0] if words else ""


def measure_scale(problem: Problem, answer: Answer, reference: Answer, name: str) -> Scale:
    """Compares the scale of a gradient with that of the float64 reference, or of the equations in the dtype of the problem."""
    there, here, own = (sample_entries(a.gradients[name]) for a in (reference, answer, problem.rounded))
    if not torch.isfinite(own).all():
        own = there
    factor, near, other = find_factor(here, there), find_factor(here, own), find_factor(own, there)
    far, left, usual = ((a - b).abs().sum().item() for a, b in ((here, factor * there), (here, near * own), (own, other * there)))
    is_near = left < NEAR * far
    part = min(1.0, (left if is_near else far) / usual) if usual else 1.0
    return Scale(near if is_near else factor, is_near, other, part)


def limit_scales(problem: Problem, found: dict[str, Scale]) -> dict[str, float]:
    """Returns the allowed deviation of each scale from 1. Draws are made only if a scale, or that of the equations in the dtype of the
    problem, is off by half of SCALE."""
    moved = [scale for scale in found.values() if scale.part > LEAST]
    off = any(not max(abs(scale.factor - 1), abs(scale.own - 1)) <= SCALE / 2 for scale in moved)
    spread = measure_spread(problem) if off else {}
    return {name: max(SCALE, DEVIATIONS * scale.part * spread.get(name, 0.0)) for name, scale in found.items()}


def measure_spread(problem: Problem) -> dict[str, float]:
    """Returns how far rounding moves the scale of each gradient: the root mean square over the draws and the equations in the dtype of the
    problem."""
    if problem not in SPREADS:
        right, total = problem.answer.gradients, dict[str, float]()
        for seed in range(DRAWS + 1):
            noise = RoundingNoise(problem.dtype, problem.device, seed)
            drawn = problem.reference(noise) if seed < DRAWS else problem.rounded
            for name, g in drawn.gradients.items():
                deviation = find_factor(g, right[name]) - 1 if torch.isfinite(g).all() else 0.0
                total[name] = total.get(name, 0.0) + deviation**2
        SPREADS[problem] = {name: (square / (DRAWS + 1)) ** 0.5 for name, square in total.items()}
    return SPREADS[problem]


def find_factor(value: Tensor, reference: Tensor) -> float:
    """Returns the median of the ratios of the entries of two tensors, weighted by the second; 1 if that is zero."""
    there, here = sample_entries(reference), sample_entries(value)
    there, here = there[there != 0], here[there != 0]
    if not len(there):
        return 1.0
    ratios, order = (here / there).sort()
    weights = there.abs()[order].cumsum(0)
    place = torch.searchsorted(weights, weights[-1] / 2).clamp_max(len(ratios) - 1)
    return float(ratios[place])


def sample_entries(tensor: Tensor) -> Tensor:
    """Returns up to about SAMPLED entries, in float64."""
    return tensor.flatten()[:: max(1, tensor.numel() // SAMPLED)].double()

"""A cell at a size with all it is given, what a backend makes of it, and how far that is from the equations in float64.

The error of a tensor is max|Δ| / max|reference|. Two rules make it mean something everywhere:

- Where the reference is zero throughout there is nothing to round, so the value must be zero too.
- A tensor of few elements can happen to be all near zero, and then its rounding errors look large. So sizes with few units are
  drawn several times, and the draws of a tensor are judged as one.

At a kink (relu at 0) a rounding error may take the other branch, and a derivative with it. So the reference of `vanilla_relu`
takes the branches of the run that it judges; each that float64 wouldn't take must lie within rounding distance of the kink.
"""

import math
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor

import cells
from cells.grammar.cell import Cell
from kernels.derive.buffers import layout
from kernels.derive.plan import plan
from kernels.layer import checkpointing
from kernels.layer.input_products import apply, recurrence_operands
from kernels.layer.select import SCHEDULES
from tests import custom
from tests.tolerances import TOLERANCE

ENOUGH = 8
"""Units, over all draws, the largest of which is no accident."""


@dataclass(frozen=True, eq=False)
class Problem:
    """A cell and what it is given: x (T, B, D), states (B, H), weights by name, and the upstream gradients of its outputs."""

    cell: Cell
    bias: bool
    given: Mapping[str, Tensor]
    upstream: Mapping[str, Tensor]

    @property
    def weights(self) -> dict[str, Tensor]:
        return {name: value for name, value in self.given.items() if name not in ("x", *self.cell.states)}

    def with_given(self, **changed: Tensor) -> "Problem":
        return replace(self, given={**self.given, **changed})


def problem(cell: Cell, T: int, B: int, D: int, H: int, dtype: torch.dtype = torch.float32, bias: bool = True, seed: int = 0) -> Problem:
    """Random, with the weights at their initialisation, rounded to `dtype`."""
    torch.manual_seed(seed)
    weights = {name: torch.empty(shape) for name, shape in cell.shapes(D, H, bias).items()}
    cell.initialise(weights)
    given = {"x": torch.randn(T, B, D), **{name: cell.random_state(name, torch.randn(B, H)) for name in cell.states}, **weights}
    upstream = {"y": torch.randn(T, B, H), **{f"final {name}": torch.randn(B, H) for name in cell.states}}
    return Problem(cell, bias, rounded(given, dtype), rounded(upstream, dtype))


def rounded(tensors: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    return {name: tensor.to(dtype) for name, tensor in tensors.items()}


def draws(cell: Cell, T: int, B: int, D: int, H: int, **options: object) -> list[Problem]:
    """As many problems of a size as it takes to judge it, and the least of what is learned."""
    least = min(H, *(math.prod(shape) for shape in cell.shapes(D, H).values()))
    return [problem(cell, T, B, D, H, seed=seed, **options) for seed in range(-(-ENOUGH // least))]


def unroller(problem: Problem, backend: str) -> Callable[..., tuple[Tensor, tuple[Tensor, ...]]]:
    """How a backend runs a problem; with low memory where its name ends in "-low"."""
    name, _, low = backend.partition("-")
    if name == "eager":
        return partial(checkpointing.unroll, Cell.unroll, problem.cell) if low else problem.cell.unroll
    return partial(checkpointing.apply if low else apply, plan(problem.cell, problem.bias), SCHEDULES[name])


def outputs(problem: Problem, backend: str) -> dict[str, Tensor]:
    """ "y" and "final h" for every state h."""
    states = problem.cell.states
    y, final = unroller(problem, backend)(problem.given["x"], [problem.given[name] for name in states], problem.weights)
    return {"y": y, **{f"final {name}": value for name, value in zip(states, final, strict=True)}}


def solve(
    problem: Problem, backend: str, dtype: torch.dtype, through: Collection[str] = (), frozen: Collection[str] = ()
) -> dict[str, Tensor]:
    """The outputs, and the gradient "d NAME" of everything given that isn't `frozen`, from the upstream gradients of the outputs
    `through` (all, unless named)."""
    given = {name: value.detach().to(dtype).requires_grad_(name not in frozen) for name, value in problem.given.items()}
    out = outputs(problem.with_given(**given), backend)
    ends = [name for name in out if name in (through or out) and out[name].requires_grad]
    leaves = {name: value for name, value in given.items() if value.requires_grad}
    upstream = [problem.upstream[name].to(dtype) for name in ends]
    gradients = torch.autograd.grad([out[name] for name in ends], list(leaves.values()), upstream, allow_unused=True)
    found = {f"d {n}": torch.zeros_like(v) if d is None else d for (n, v), d in zip(leaves.items(), gradients, strict=True)}
    return {name: value.detach() for name, value in out.items()} | found


def check(problems: Sequence[Problem], backend: str, dtype: torch.dtype, **options: Collection[str]) -> list[dict[str, Tensor]]:
    """Every output and gradient of `backend` within tolerance of the equations in float64. `options` are those of `solve`, and
    what it found is returned."""
    results = [solve(p, backend, dtype, **options) for p in problems]
    expected = [solve(like(p, r, dtype), "eager", torch.float64, **options) for p, r in zip(problems, results, strict=True)]
    agree(results, expected, TOLERANCE["schedule", dtype])
    return results


def agree(results: Sequence[Mapping[str, Tensor]], expected: Sequence[Mapping[str, Tensor]], tolerance: float) -> None:
    """The same names, and each tensor, over all draws, within `tolerance`."""
    assert results[0].keys() == expected[0].keys()
    found = {name: error(joined(results, name), joined(expected, name)) for name in expected[0]}
    over = {name: f"{e:.1e}" for name, e in found.items() if not e <= tolerance}
    assert not over, f"off by more than {tolerance:.0e} of the largest: {over}"


def joined(draws: Sequence[Mapping[str, Tensor]], name: str) -> Tensor:
    return torch.stack([draw[name] for draw in draws])


def error(value: Tensor, reference: Tensor) -> float:
    """max|Δ| / max|reference|; infinite where the value isn't finite, or isn't zero as its reference is."""
    assert value.shape == reference.shape, f"{tuple(value.shape)} is not the reference's {tuple(reference.shape)}"
    if not value.isfinite().all():
        return float("inf")
    scale = reference.abs().max().item() if reference.numel() else 0.0
    if scale == 0:
        return float("inf") if value.any() else 0.0
    return (value.double() - reference.double()).abs().max().item() / scale


def like(problem: Problem, run: Mapping[str, Tensor], dtype: torch.dtype) -> Problem:
    """The problem whose float64 solution a run is held to: for vanilla_relu, with the branches that the run took."""
    if problem.cell.name != "vanilla_relu":
        return problem
    return replace(problem, cell=decided(problem, run["y"] > 0, TOLERANCE["kink", dtype]))


def decided(problem: Problem, branches: Tensor, distance: float) -> Cell:
    """vanilla_relu with its branches given (T, B, H). A branch other than float64's own is refused unless what is compared with
    zero is within `distance` of it, as a part of the sizes of its summands."""
    given = rounded(problem.given, torch.float64)
    take = iter(branches)

    def vanilla_relu(h, x, W, b):
        a, branch = W.hx(x) + W.hh(h) + b.h, next(take)
        size = F.linear(x.abs(), given["W.hx"].abs()) + F.linear(h.abs(), given["W.hh"].abs()) + torch.as_tensor(b.h).abs()
        strays = (branch != (a > 0)) & (a.abs() > distance * size)
        assert not strays.any(), f"{int(strays.sum())} branches of relu are wrong, not just rounded"
        return a * branch

    return Cell(vanilla_relu)


def given_cell(name: str, T: int, B: int, D: int, H: int, **options: object) -> Problem:
    """The problem of a cell of the project or of `custom`, at D = H where it takes that, and an H that its heads can share."""
    cell = custom.CELLS.get(name) or cells.load(name)
    H = plan(cell).round_up_width(H)
    return problem(cell, T, B, H if plan(cell).elementwise_input else D, H, **options)


def leaves(p: Problem) -> Problem:
    """The problem with everything given a leaf that takes a gradient."""
    return p.with_given(**{name: value.clone().requires_grad_() for name, value in p.given.items()})


def rows(p: Problem) -> list[Tensor | None]:
    """`recurrence_operands`'s tensors with the products in front of the loop carried out: each feed given as its rows, without a weight."""
    tensors, projections = (
        recurrence_operands(plan(p.cell), p.given["x"], p.given["h"].shape[1], p.weights),
        layout(plan(p.cell)).projections,
    )
    for k, projection in enumerate(projections):
        v, W, bias = tensors[3 * k : 3 * k + 3]
        v = tensors[3 * len(projections) + projection.operand_index] if projection.operand_index >= 0 else v
        tensors[3 * k : 3 * k + 3] = [torch.nn.functional.linear(v, W, bias), None, None]
    return tensors

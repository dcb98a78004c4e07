"""The masks of a cell with zoneout or dropout (`cells.grammar.noise`): drawn before the loop, and bound to the leaves of a plan."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cells.grammar.cell import count_steps
from cells.grammar.masked import NOISE, masked
from cells.grammar.noise import Mask
from kernels.derive.graph import Node
from kernels.derive.plan import Plan


def draw(masks: Sequence[Mask], x: Tensor, H: int) -> Tensor:
    """Draws masks by torch's generator of the device of x: the same after the same torch.manual_seed, whatever the dtype or the schedule.

    Args:
        masks: those of a cell, `Plan.masks`.
        x: the input, (T, B, D), or (N, D) for packed rows.
        H: the hidden size.

    Returns:
        Bools, (T, B, columns) or (N, columns): the masks side by side.
    """
    widths = [mask.columns(x.shape[-1], H) for mask in masks]
    drawn = torch.rand(*x.shape[:-1], sum(widths), device=x.device, dtype=torch.float32)
    parts = drawn.split(widths, -1)
    return torch.cat([part < mask.probability for part, mask in zip(parts, masks, strict=True)], -1)


def step_columns(drawn: Tensor, numbers: Tensor | None) -> Tensor:
    """Returns what a step gets beside its input: its masks, and behind them its number (T, 1, 1) or (T, B, 1), if the cell reads it."""
    return drawn if numbers is None else torch.cat([drawn.to(numbers.dtype), numbers.expand(*drawn.shape[:-1], 1)], -1)


def bind(plan: Plan, drawn: Tensor, D: int, like: Tensor, H: int) -> dict[Node, Tensor]:
    """Maps the leaves of masks to tensors (T, B, width) of ones and zeros, with the dtype of `like`.

    Args:
        drawn: what `step_columns` returns.
        D: the size of the input.
        H: the hidden size.
    """
    widths = [mask.columns(D, H) for mask in plan.masks]
    parts = drawn[..., : sum(widths)].to(like.dtype).split(widths, -1)
    return {plan.graph.leaf("noise", f"mask{k}", m.width): part for k, (m, part) in enumerate(zip(plan.masks, parts, strict=True))}


def unroll(
    plan: Plan, x: Tensor, states: Sequence[Tensor], parameters: Mapping[str, Tensor], drawn: Tensor | None
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """Runs a cell step by step on tensors of any dtype, as `Cell.unroll` does, with masks from `draw`; None: in evaluation."""
    if drawn is None:
        return plan.cell.unroll(x, states, parameters)
    return masked(plan.cell, NOISE).unroll(x, states, parameters, numbers=step_columns(drawn, count_steps(x) if plan.uses_time else None))

"""What a schedule's loop is given, and what it returns: the interface between autograd and the schedules.

Letters: T time, B batch, H hidden width, G the terms of a buffer, P the products of a group. All tensors are contiguous,
of one dtype and on one device.
"""

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from torch import Tensor

from kernels.derive.buffers import Layout, layout
from kernels.derive.plan import Plan

Of = TypeVar("Of")


@dataclass
class Products(Generic[Of]):
    """Something of each matrix of a plan and what it is applied to: `feeds` of each feed's argument, weight and bias, `weights` of each
    group's weight. Whether a gradient is wanted (a bool), or that gradient, None where it isn't."""

    feeds: list[tuple[Of, Of, Of]]
    weights: list[Of]


@dataclass
class Loop:
    """One pass over a sequence.

    `feeds`: each feed's argument (T, B, K), its weight (G·H, K), or None where its rows are in `hoisted` already, and its bias (G·H) or
    None. `hoisted` (T, B, G, H) for each buffer of the layout, None for the terms that are a product alone and for a feed that is still
    to be computed and not kept; `terms`, the same with every recurrent product added, is written by the forward pass for the backward
    pass, and is empty where no gradient is wanted; it has None for a feed whose rows the backward pass makes again. A buffer may be the
    same tensor in both. `vectors` (H), `weights` (P·H, H) for each group of recurrent products, `states` (B, H): the initial ones.
    `history` (T, B, H) is where each state after every step goes, if the caller wants it kept; else the schedule makes room for what it
    needs. `wanted` says, in a backward pass, which gradients of products a schedule may compute itself.
    """

    plan: Plan
    T: int
    feeds: list[tuple[Tensor, Tensor | None, Tensor | None]]
    hoisted: list[Tensor | None]
    terms: list[Any]
    vectors: list[Tensor]
    weights: list[Tensor]
    states: list[Tensor]
    history: list[Tensor] | None = None
    wanted: Products[bool] | None = None

    @property
    def keep(self) -> bool:
        """Whether terms and computed arguments are kept for a backward pass."""
        return bool(self.terms)

    @property
    def whole(self) -> bool:
        """Whether every state is kept after every step; if not, the output is, and of the others the last."""
        return self.keep or self.history is not None

    @property
    def layout(self) -> Layout:
        return layout(self.plan)

    @property
    def shape(self) -> tuple[int, int, int]:
        B, H = self.states[0].shape
        return self.T, B, H

    def trajectory(self) -> "Trajectory":
        """The tensors a forward pass fills."""
        T, B, H = self.shape
        lengths = [T if self.whole or s == 0 else 1 for s in range(len(self.states))]
        computed = sum(group.computed >= 0 for group in self.layout.groups) if self.keep else 0
        empty = self.states[0].new_empty
        return Trajectory(self.history or [empty(n, B, H) for n in lengths], [empty(T, B, H) for _ in range(computed)])


@dataclass
class Trajectory:
    """What a forward pass leaves. `history`: each state after every step (T, B, H); where the loop isn't `whole`, of all
    but the output only the last (1, B, H). `arguments` (T, B, H): what the computed groups of products were applied to."""

    history: list[Tensor]
    arguments: list[Tensor]


@dataclass
class Gradients:
    """What a backward pass returns, shaped like the `Loop`'s terms, vectors and states. Where a schedule has computed the `products`'
    gradients too, those of the terms are None that are needed for nothing else."""

    terms: list[Any]
    vectors: list[Tensor]
    states: list[Tensor]
    products: Products[Tensor | None] | None = None

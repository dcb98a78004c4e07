"""The interface between autograd and the schedules: the inputs and results of a pass over a sequence.

Letters: T time steps, B batch size, H hidden size, G terms of a buffer, P products of a group. All tensors are contiguous, of one dtype
and on one device.
"""

from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

from kernels.derive.buffers import Layout, layout
from kernels.derive.plan import Plan
from kernels.schedules.packed_steps import PackedSteps

Item = TypeVar("Item")
SIXTEEN_BIT = (torch.bfloat16, torch.float16)


Checked = tuple[str, Tensor | None, tuple[int, ...]]
"""A description of a tensor for a message, the tensor, and the shape that it must have."""


def describe(shape: tuple[int, ...], dtype: torch.dtype, device: torch.device) -> str:
    """Describes the tensors that are expected, for a message."""
    return f"{tuple(shape)} in {dtype} on {device}"


def describe_tensor(tensor: Tensor) -> str:
    """Describes a tensor for a message."""
    sparse = "" if tensor.layout == torch.strided else f" and {tensor.layout}: call .to_dense()"
    return describe(tuple(tensor.shape), tensor.dtype, tensor.device) + sparse


def widens_vectors(schedule: Any) -> bool:
    """Returns whether a schedule reads vectors in float32 in a pass in 16 bit. A wave's 1 + b dt would be rounded by as much as b dt."""
    return getattr(schedule, "WIDE_VECTORS", False)


@dataclass
class Products(Generic[Item]):
    """One `Item` for each operand of a matrix product.

    `Products[bool]`: whether its gradient is needed. `Products[Tensor | None]`: its gradient, None if not needed.

    Attributes:
        projections: for each input projection, the items of its input, weight and bias.
        weights: for each product group, the item of its weight.
    """

    projections: list[tuple[Item, Item, Item]]
    weights: list[Item]


@dataclass
class PassInputs:
    """The inputs of one pass over a sequence.

    Attributes:
        plan: the plan of the cell.
        T: time steps.
        projections: for each input projection its input (T, B, K); its weight (G·H, K), None if `hoisted` already has the projected
            rows, because the schedule doesn't compute them or a caller of `Recurrence` passed them; its bias (G·H) or None.
        hoisted: (T, B, G, H) for each buffer of the layout; None for terms that are recurrent products only, and for a projection that
            the schedule computes and doesn't save. [] in a backward pass.
        terms: as `hoisted`, with the recurrent products added. The forward pass writes them for the backward pass. Empty if no gradient
            is needed; None for a projection that the backward pass recomputes. A buffer may be the same tensor as in `hoisted`. Then the
            loop updates it in place, and must read an element before it writes it.
        vectors: (H) each; in float32 in a pass in 16 bit, for a schedule with `WIDE_VECTORS`.
        weights: (P·H, H / heads) for each group of recurrent products: a row of a block; whole rows, (P·H, H), for a schedule without
            `RUNS_BLOCKS`.
        states: the initial states, (B, H) each.
        history: where to write each state after every time step, (T, B, H); None: the schedule allocates what it needs.
        needs_grad: in a backward pass, the products whose gradients the schedule may compute itself.
        packed: the steps of packed rows, only for a schedule that runs them. (N, 1) then stands for (T, B) everywhere, N rows in all.
    """

    plan: Plan
    T: int
    projections: list[tuple[Tensor, Tensor | None, Tensor | None]]
    hoisted: list[Tensor | None]
    terms: list[Any]
    vectors: list[Tensor]
    weights: list[Tensor]
    states: list[Tensor]
    history: list[Tensor] | None = None
    needs_grad: Products[bool] | None = None
    packed: PackedSteps | None = None

    @property
    def save_for_backward(self) -> bool:
        """Returns whether terms and arguments (computed operands) are saved for a backward pass."""
        return bool(self.terms)

    @property
    def keep_all_states(self) -> bool:
        """Returns whether all states are kept after every time step; if not, all of the output and the last of the others."""
        return self.save_for_backward or self.history is not None

    @property
    def layout(self) -> Layout:
        """Returns the memory layout of the plan."""
        return layout(self.plan)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Returns T, B, H."""
        B, H = self.states[0].shape
        return self.T, B, H

    @property
    def rows(self) -> tuple[int, int]:
        """Returns the dimensions of the rows of all steps: (T, B), or (N, 1) if they are packed."""
        return (self.T, len(self.states[0])) if self.packed is None else (self.packed.N, 1)

    @property
    def block_sizes(self) -> tuple[int, ...]:
        """Returns the columns of each group's diagonal blocks; H if its matrices are whole."""
        return tuple(W.shape[1] for W in self.weights)

    def list_weights(self) -> list[Tensor | None]:
        """Returns the weights of the groups, then those of the projections."""
        return [*self.weights, *(W for _, W, _ in self.projections)]

    def check(self, *others: Checked) -> None:
        """Raises RuntimeError unless every tensor is as the classes here say: a loop reads and writes memory by these sizes alone.

        Args:
            others: further tensors that the loop will use, with what they are and their shapes.
        """
        (_, B, H), rows = self.shape, self.rows
        buffer_layout, like = self.layout, self.states[0]
        checked: list[Checked] = [("an initial state", state, (B, H)) for state in self.states]
        checked += [("a vector", vector, (H,)) for vector in self.vectors]
        for group, weight in zip(buffer_layout.groups, self.weights, strict=True):
            checked.append(("a recurrent weight", weight, (len(group.terms) * H, H // group.heads)))
        for projection, (v, W, bias) in zip(buffer_layout.projections, self.projections, strict=True):
            G = len(projection.terms)
            if W is not None:  # otherwise the loop reads the projected rows, `hoisted`
                checked += [("an input", v, (*rows, v.shape[-1])), ("an input weight", W, (G * H, v.shape[-1])), ("a bias", bias, (G * H,))]
        for name, tensors in (("a hoisted buffer", self.hoisted), ("a saved buffer", self.terms)):
            checked += [(name, t, (*rows, G, H)) for t, G in zip(tensors, buffer_layout.widths, strict=bool(tensors))]
        checked += [("a history", h, (*rows, H)) for h in self.history or ()]
        device, wide = like.device, torch.float32 if like.dtype in SIXTEEN_BIT else like.dtype
        for name, tensor, shape in (*checked, *others):
            dtype = wide if name == "a vector" and tensor is not None and tensor.dtype == wide else like.dtype
            if tensor is not None and not (
                tensor.shape == shape and tensor.dtype == dtype and tensor.device == device
                and tensor.layout == torch.strided and tensor.is_contiguous() and not tensor.is_neg() and tensor.data_ptr()
            ):  # fmt: skip
                raise RuntimeError(
                    f"{self.plan.cell.name}: expected {name} to be {describe(shape, dtype, device)} and contiguous, got "
                    f"{describe_tensor(tensor)} with strides {tensor.stride()}. A hook or a saved-tensor hook may have changed it"
                )

    def widen(self) -> "PassInputs":
        """Returns a copy with all but the weights in float32 if they are in 16 bit, else the inputs themselves.

        Buffers that a forward pass writes are new, and the copies of a buffer that is in `hoisted` and `terms` are one too.
        """
        if self.states[0].dtype not in SIXTEEN_BIT:
            return self
        written = {id(t) for t, (_, W, _) in zip(self.hoisted, self.projections, strict=False) if W is not None}
        written |= {id(t) for t in self.terms if self.hoisted} - {id(t) for t in self.hoisted}
        found: dict[int, Any] = {id(None): None}

        def copy(tensor: Any) -> Any:
            if id(tensor) not in found:
                found[id(tensor)] = torch.empty_like(tensor, dtype=torch.float32) if id(tensor) in written else tensor.float()
            return found[id(tensor)]

        hoisted, terms, vectors, states = ([*map(copy, t)] for t in (self.hoisted, self.terms, self.vectors, self.states))
        history = self.history and [torch.empty_like(h, dtype=torch.float32) for h in self.history]
        projections = [(copy(v), W, copy(b)) for v, W, b in self.projections]
        return replace(self, projections=projections, hoisted=hoisted, terms=terms, vectors=vectors, states=states, history=history)

    def store(self, result: "ForwardResult", wide: "PassInputs", computed: "ForwardResult") -> None:
        """Rounds what a forward pass of the widened inputs wrote, `computed` and the terms, into a result and the terms of these inputs."""
        written = [*self.layout.recurrent_buffers, *(f for f, (_, W, _) in enumerate(self.projections) if W is not None)]
        terms = [(self.terms[b], wide.terms[b]) for b in {*written} if self.save_for_backward and self.terms[b] is not None]
        ends = wide.final_states(computed)
        history = [h if len(h) == len(to) else end[None] for to, h, end in zip(result.history, computed.history, ends, strict=True)]
        for to, value in (*zip(result.history + result.arguments, history + computed.arguments, strict=True), *terms):
            to.copy_(value)

    def allocate_result(self) -> "ForwardResult":
        """Allocates the tensors that a forward pass fills."""
        _, B, H = self.shape
        rows = [self.rows if self.keep_all_states or s == 0 else (1, B) for s in range(len(self.states))]
        computed = sum(group.computed >= 0 for group in self.layout.groups) if self.save_for_backward else 0
        empty = self.states[0].new_empty
        return ForwardResult(self.history or [empty(*n, H) for n in rows], [empty(*self.rows, H) for _ in range(computed)])

    def final_states(self, result: "ForwardResult") -> list[Tensor]:
        """Returns copies of the final states (B, H), each after the last step of its own sequence."""
        if self.packed is None:
            return [h[-1].clone() for h in result.history]
        return [h.squeeze(1)[self.packed.last] if len(h) == self.packed.N else h[0].clone() for h in result.history]


@dataclass
class ForwardResult:
    """The result of a forward pass.

    Attributes:
        history: each state after every time step, (T, B, H); without `keep_all_states` only the last, (1, B, H), of all but the output.
        arguments: the computed operands of the product groups, called arguments everywhere, (T, B, H) each; empty unless saved for a
            backward pass.
    """

    history: list[Tensor]
    arguments: list[Tensor]

    def widen(self) -> "ForwardResult":
        """Returns a copy in float32 if the tensors are in 16 bit, else the result itself."""
        if self.history[0].dtype not in SIXTEEN_BIT:
            return self
        return ForwardResult([h.float() for h in self.history], [a.float() for a in self.arguments])


@dataclass
class Gradients:
    """The result of a backward pass: gradients in the shapes of the pass's terms, vectors and initial states. They may be in float32 where
    those are in 16 bit.

    Attributes:
        terms, vectors, states: the gradients. A term's is None if the schedule has used it up for `products`.
        products: the gradients of the products' operands, if the schedule computes them; None: autograd computes them from `terms`.
    """

    terms: list[Any]
    vectors: list[Tensor]
    states: list[Tensor]
    products: Products[Tensor | None] | None = None

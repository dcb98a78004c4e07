"""The parameters of a layer as the equations name them, and joined for products with a common operand.

A layer of torch.nn's cells holds torch's tensors, in which the gates are joined already. A layer of another cell holds a tensor for each
name. `flatten` puts those that are used together behind each other into one buffer, so that joining them copies nothing.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cells.grammar.cell import Cell
from cells.grammar.parameters import find_matrix
from cells.grammar.torch_equivalent import TorchEquivalent
from kernels.derive.buffers import layout
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Term, addends
from kernels.layer.inputs import is_traced


class NamedParameters(dict[str, Tensor]):
    """Parameters by their names in the equations."""

    def concat(self, names: Sequence[str]) -> Tensor:
        """Returns the named matrices (n, K) or vectors, one after another; differentiable.

        Copies nothing if there is one, or if they lie behind each other in memory.
        """
        parts = [find_matrix(self, name) for name in names]
        if len(parts) == 1:
            return parts[0].contiguous()  # a copy if it is transposed
        if not are_adjacent(parts):
            return torch.cat(parts)
        return AdjacentParts.apply(*parts) if torch.is_grad_enabled() else AdjacentParts.view(parts)

    def concat_biases(self, terms: Sequence[Sequence[str]]) -> Tensor | None:
        """Returns the sums of the vectors named for each term, one after another, 0 for a term without; None if all are."""
        return self.concat([names[0] for names in terms]) if all(len(names) == 1 for names in terms) else concat_sums(self, terms)


class TorchParameters:
    """Parameters by their names in the equations, read from a layer's tensors in torch.nn: views, and sums of its two biases."""

    def __init__(self, equivalent: TorchEquivalent, tensors: Mapping[str, Tensor]):
        self.equivalent, self.tensors = equivalent, tensors

    def __getitem__(self, name: str) -> Tensor:
        return self.equivalent.read(name, self.tensors)

    def concat(self, names: Sequence[str]) -> Tensor:
        """Returns the matrices one after another: torch's own tensor if they are those of all gates in torch's order."""
        for key, side in (("weight_ih", "x"), ("weight_hh", "h")):
            if [*names] == [f"W.{gate}{side}" for gate in self.equivalent.gates]:
                return self.tensors[key]
        return torch.cat([self[name] for name in names])

    def concat_biases(self, terms: Sequence[Sequence[str]]) -> Tensor | None:
        """Returns the biases of all gates, one after another; here torch's two are added, once. None if there are none.

        The second one is left out for gates whose `b.<gate>h` the equations use elsewhere, as those of a GRU's candidate.
        """
        gates = self.equivalent.gates
        added = sum(names == [f"b.{gate}"] for names, gate in zip(terms, gates, strict=False))
        if [*terms] != [*([f"b.{gate}"] for gate in gates[:added]), *([f"b.{gate}x"] for gate in gates[added:])]:
            return concat_sums(self, terms)
        bias, second = self.tensors["bias_ih"], self.tensors["bias_hh"]
        if added == len(gates):
            return bias + second
        rest = len(second) // len(gates) * (len(gates) - added)
        return bias + F.pad(second[:-rest], (0, rest))


def concat_blocks(parameters: NamedParameters | TorchParameters, names: Sequence[str]) -> Tensor:
    """Returns the rows (P·H, n) of the diagonal blocks of the named matrices (heads, n, n), as `concat` does."""
    return NamedParameters({str(k): find_matrix(parameters, name).flatten(0, 1) for k, name in enumerate(names)}).concat(
        [*map(str, range(len(names)))]
    )


def concat_sums(parameters: NamedParameters | TorchParameters, terms: Sequence[Sequence[str]]) -> Tensor | None:
    """Returns the sums of the vectors named for each term, one after another, 0 for a term without; None if all are."""
    sums = [sum((parameters[name] for name in names[1:]), parameters[names[0]]) if names else None for names in terms]
    some = next((s for s in sums if s is not None), None)
    return None if some is None else torch.cat([torch.zeros_like(some) if s is None else s for s in sums])


def bind(plan: Plan, tensors: Mapping[str, Tensor]) -> NamedParameters | TorchParameters:
    """Returns a layer's parameters by their names in the equations; `tensors` have these names, or torch's four."""
    equivalent = plan.cell.torch_equivalent
    return TorchParameters(equivalent, tensors) if equivalent and "weight_ih" in tensors else NamedParameters(tensors)


def read_weights(cell: Cell, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Returns a layer's parameters by their names in the equations, for `Cell.unroll`; `tensors` have these names, or torch's four."""
    equivalent = cell.torch_equivalent
    if equivalent is None or "weight_ih" not in tensors:
        return dict(tensors)
    return {name: equivalent.read(name, tensors) for name in cell.shapes(1, 1, "bias_ih" in tensors)}


class AdjacentParts(torch.autograd.Function):
    """Joins tensors that lie behind each other in memory along the first dimension, without a copy."""

    @staticmethod
    def view(parts: Sequence[Tensor]) -> Tensor:
        """Returns the joined tensor, which shares the memory of the parts."""
        first = parts[0].detach()
        return first.as_strided((sum(len(part) for part in parts), *first.shape[1:]), first.stride())

    @staticmethod
    def forward(ctx: Any, *parts: Tensor) -> Tensor:
        ctx.save_for_backward(*parts)
        return AdjacentParts.view(parts)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Any:
        return d.split([len(part) for part in ctx.saved_tensors])  # reading them raises an error if one was changed in place


def are_adjacent(parts: Sequence[Tensor]) -> bool:
    """Returns whether tensors are of one kind and lie behind each other in one block of memory."""
    if is_traced():
        return False  # a trace runs with other parameters
    if torch._C._are_functorch_transforms_active() or any(type(part) not in (Tensor, nn.Parameter) for part in parts):
        return False  # they have no memory of their own
    first = parts[0]
    address = first.data_ptr()
    for part in parts:
        alike = part.dtype == first.dtype and part.device == first.device and part.shape[1:] == first.shape[1:]
        if not alike or part.data_ptr() != address or not part.is_contiguous():
            return False
        address += part.nbytes
    storage = first.untyped_storage()
    return address <= storage.data_ptr() + storage.nbytes()


def flatten(tensors: Sequence[Tensor], spare: int = 0) -> None:
    """Moves Parameters into one buffer, one behind another, with `spare` zeros at its end. Leaves tensors of any other kind."""
    first = tensors[0]
    plain = all(type(t) is nn.Parameter and t.is_contiguous() and not t.is_meta for t in tensors)
    if not plain or any(t.dtype != first.dtype or t.device != first.device for t in tensors) or are_adjacent(tensors):
        return
    sizes = [t.numel() for t in tensors]
    buffer = torch.empty(sum(sizes) + spare, dtype=first.dtype, device=first.device)
    buffer[sum(sizes) :].zero_()
    for tensor, part in zip(tensors, buffer.split([*sizes, spare]), strict=False):
        tensor.data = part.view(tensor.shape).copy_(tensor.data)


def operand_groups(plan: Plan) -> list[list[str]]:
    """Returns the names of the parameters that a call joins: matrices of one operand, and the biases of one projection."""
    buffer_layout = layout(plan)
    runs = [[f"W.{plan.terms[i].matrix}" for i in group.terms] for group in buffer_layout.groups]
    for projection in buffer_layout.projections:
        terms = [plan.terms[i] for i in projection.terms]
        runs.append([f"W.{term.projection.label}" for term in terms if term.projection is not None])
        biases = [bias_names(term) for term in terms]
        runs += [[names[0] for names in biases]] if all(len(names) == 1 for names in biases) else []
    taken = {f"W.{n.label}" for n in plan.products if n.label != n.matrix}
    found: list[list[str]] = []
    for run in runs:
        if len({*run} - taken) == len(run) > 1 and len({plan.cell.heads.get(name, 1) for name in run}) == 1:
            found.append(run)
            taken |= {*run}
    return found


def bias_names(term: Term) -> list[str]:
    """Returns the names of the vectors in a term's hoisted sum."""
    return [f"{n.op}.{n.label}" for n in addends(term.hoisted) if n.op in ("b", "p")]

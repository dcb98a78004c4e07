"""The memory layout of a plan's values, which all schedules share.

buffers   (T, B, G, H) each: the terms that a step reads and that training saves. There is one buffer per input projection, with
          the G terms that it computes; one per other hoisted value; and one for all terms that are a recurrent product only.
          The time loop adds the recurrent product of a term in place.
groups    the recurrent products of a stage with the same operand: one packed matrix (P·H, H) each, in the order of the stages; (P·H, n),
          a row of a block in place of a row of the matrix, for matrices with as many diagonal blocks (heads) of n = H / heads units
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from kernels.derive.graph import Node
from kernels.derive.plan import Plan


@dataclass(frozen=True)
class Group:
    """The recurrent products of one stage with the same operand.

    Attributes:
        terms: the terms that the products are added to.
        stage: the index of the stage.
        state: the index of the operand if it is a state, else -1.
        computed: the index of the operand among all computed ones if the stage's pointwise function computes it, else -1.
        runs_stage_function: True for the first group of the stage with a computed operand. The stage function runs just before this
            group's product; its adjoint runs just after it in the backward pass.
        heads: the number of diagonal blocks of each matrix; 1 if they are whole.
    """

    terms: tuple[int, ...]
    stage: int
    state: int
    computed: int
    runs_stage_function: bool
    heads: int


@dataclass(frozen=True)
class Projection:
    """Matrix products with the same operand, which depends on no state. They are computed ahead of the time loop.

    Attributes:
        operand: the operand.
        terms: the terms that the products are part of.
        operand_index: the index of the operand in `Layout.elementwise_terms` if it is a term of the step too (MinimalRNN's z), else -1.
    """

    operand: Node
    terms: tuple[int, ...]
    operand_index: int


@dataclass(frozen=True)
class Layout:
    """The buffers of a plan.

    Attributes:
        projections: the input projections; one buffer each, the first ones.
        elementwise_terms: the terms whose hoisted part is no product, or one with heads; one buffer each, after the projections.
        recurrent_only: the terms without a hoisted part; they share the last buffer.
        slots: (buffer, slot) of each term.
        widths: the terms G of each buffer.
        groups: the recurrent products, by stage and operand.
    """

    projections: tuple[Projection, ...]
    elementwise_terms: tuple[int, ...]
    recurrent_only: tuple[int, ...]
    slots: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    groups: tuple[Group, ...]

    @cached_property
    def recurrent_buffers(self) -> tuple[int, ...]:
        """Returns the indices of the buffers to which the time loop adds recurrent products."""
        return tuple(sorted({self.slots[i][0] for group in self.groups for i in group.terms}))


@cache
def layout(plan: Plan) -> Layout:
    """Returns the memory layout of a plan, made once for each plan."""
    projections: dict[Node, list[int]] = {}
    values: list[int] = []
    recurrent_only: list[int] = []
    for i, term in enumerate(plan.terms):
        if term.projection is not None and f"W.{term.projection.matrix}" not in plan.cell.heads:
            projections.setdefault(term.projection.args[0], []).append(i)
        else:
            (recurrent_only if term.hoisted is None else values).append(i)
    buffers = [*projections.values(), *([i] for i in values), *([recurrent_only] if recurrent_only else [])]
    slots = {i: (k, slot) for k, members in enumerate(buffers) for slot, i in enumerate(members)}

    value_index = {plan.terms[i].hoisted: k for k, i in enumerate(values)}

    groups: list[Group] = []
    computed = 0
    for number, stage in enumerate(plan.stages):
        first = computed
        for argument, terms in sorted(stage.groups, key=lambda group: group[0].op != "state"):
            heads = plan.cell.heads.get(f"W.{plan.terms[terms[0]].matrix.removesuffix('.T')}", 1)
            if argument.op == "state":
                groups.append(Group(terms, number, plan.states.index(argument), -1, False, heads))
            else:
                groups.append(Group(terms, number, -1, computed, computed == first, heads))
                computed += 1
    return Layout(
        tuple(Projection(node, tuple(members), value_index.get(node, -1)) for node, members in projections.items()),
        tuple(values), tuple(recurrent_only), tuple(slots[i] for i in range(len(plan.terms))),
        tuple(map(len, buffers)), tuple(groups),
    )  # fmt: skip


def contiguous_slots(slots: list[tuple[int, int]]) -> Iterator[tuple[int, int, int, int]]:
    """Yields ranges of contiguous slots in one buffer: (index of the first, count, buffer, its slot)."""
    first = 0
    for k in range(1, len(slots) + 1):
        buffer, slot = slots[first]
        if k == len(slots) or slots[k] != (buffer, slot + k - first):
            yield first, k - first, buffer, slot
            first = k

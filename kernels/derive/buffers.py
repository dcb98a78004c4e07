"""Where the values of a plan lie in memory: the same for every schedule.

    buffers   what a step reads and training keeps, each (T, B, G, H): one per feed (the rows of a product in front of the
              loop, G terms wide), one per other hoisted value, and one for the terms that are a recurrent product alone.
              A term's recurrent product is added into its own slot as the loop runs.
    groups    recurrent products on one argument: one matrix (P·H, H) each, in the order of the stages
    columns   a term's place among the P products of its group

`layout(plan)` is made once for each plan.
"""

from dataclasses import dataclass
from functools import cache

from kernels.derive.graph import Node
from kernels.derive.plan import Plan


@dataclass(frozen=True)
class Group:
    """The recurrent products of one stage on one argument. `state` is the argument's index where it is a state, and
    `computed` its index among all computed arguments where a stage's pointwise function makes it (-1 otherwise). The
    first computed group of a stage `leads`: in front of it that function runs, after it in reverse its adjoint."""

    terms: tuple[int, ...]
    stage: int
    state: int
    computed: int
    leads: bool


@dataclass(frozen=True)
class Feed:
    """The products of one `argument` in front of the loop, for `terms`. Where the argument is also a value that the step
    reads (MinimalRNN's z), `value` is its place among the layout's values, otherwise -1."""

    argument: Node
    terms: tuple[int, ...]
    value: int


@dataclass(frozen=True)
class Layout:
    """`values` are the terms whose hoisted part is no product, `alone` those without one. `slots[i]` is term i's
    (buffer, slot), `widths` each buffer's G."""

    feeds: tuple[Feed, ...]
    values: tuple[int, ...]
    alone: tuple[int, ...]
    slots: tuple[tuple[int, int], ...]
    widths: tuple[int, ...]
    groups: tuple[Group, ...]

    @property
    def written(self) -> tuple[int, ...]:
        """The buffers that the loop writes into: those with a recurrent product in a slot."""
        return tuple(sorted({self.slots[i][0] for group in self.groups for i in group.terms}))


@cache
def layout(plan: Plan) -> Layout:
    feeds: dict[Node, list[int]] = {}
    values: list[int] = []
    alone: list[int] = []
    for i, term in enumerate(plan.terms):
        if term.feed is not None:
            feeds.setdefault(term.feed.args[0], []).append(i)
        else:
            (alone if term.hoisted is None else values).append(i)
    buffers = [*feeds.values(), *([i] for i in values), *([alone] if alone else [])]
    slots = {i: (k, slot) for k, members in enumerate(buffers) for slot, i in enumerate(members)}

    place = {plan.terms[i].hoisted: k for k, i in enumerate(values)}

    groups: list[Group] = []
    computed = 0
    for number, stage in enumerate(plan.stages):
        first = computed
        for argument, terms in sorted(stage.groups, key=lambda group: group[0].op != "state"):
            if argument.op == "state":
                groups.append(Group(terms, number, plan.states.index(argument), -1, False))
            else:
                groups.append(Group(terms, number, -1, computed, computed == first))
                computed += 1
    return Layout(
        tuple(Feed(node, tuple(members), place.get(node, -1)) for node, members in feeds.items()),
        tuple(values), tuple(alone), tuple(slots[i] for i in range(len(plan.terms))),
        tuple(map(len, buffers)), tuple(groups),
    )  # fmt: skip

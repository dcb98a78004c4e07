"""The work of one time step, forward and backward: a product for each group, a launch for each pointwise function."""

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from kernels.derive.adjoint import adjoint
from kernels.derive.graph import Node
from kernels.derive.plan_types import Pointwise
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.stepwise.pointwise_kernel import Load, Operand, Store, launch


class Steps:
    """The tensors both directions address, and where each leaf of the plan lies. States are carried in float32."""

    def __init__(self, loop: PassInputs, trajectory: ForwardResult):
        self.loop, self.trajectory, self.plan = loop, trajectory, loop.plan
        self.T, self.B, self.H = loop.shape
        empty = loop.states[0].new_empty
        self.products = [empty(self.B, len(g.terms) * self.H) for g in loop.layout.groups]
        self.carried = [s.float().clone() for s in loop.states]
        self.stencil_values = [empty(self.B, self.H) for _ in self.plan.stencil_inputs]
        self.last = len(self.plan.stages)

    @cached_property
    def column(self) -> dict[int, tuple[int, int]]:
        """Of a term with a product: its group, and its place in it."""
        return {i: (g, k) for g, group in enumerate(self.loop.layout.groups) for k, i in enumerate(group.terms)}

    def run(self, t: int) -> None:
        """The work of time step t."""
        raise AssertionError("a direction defines its step")

    def functions(self, stage: int) -> Pointwise:
        argument = self.plan.step if stage == self.last else self.plan.stages[stage].argument
        assert argument is not None
        return argument

    def index(self, leaf: Node) -> int:
        plan = self.plan
        leaves = {"state": plan.states, "term": plan.term_leaves, "vector": plan.vectors, "stencil_input": plan.stencil_leaves}
        return leaves[leaf.op].index(leaf)

    def slot(self, buffers: Sequence[Any], i: int) -> Operand:
        buffer, slot = self.loop.layout.slots[i]
        return Operand(buffers[buffer][:, :, slot], self.loop.layout.widths[buffer], 1)

    def product(self, i: int) -> Operand:
        g, k = self.column[i]
        return Operand(self.products[g][:, k * self.H :], len(self.loop.layout.groups[g].terms))

    def apply_stencils(self, t: int) -> None:
        """What the stencils find of the states before step t."""
        for value, stencil_input in zip(self.stencil_values, self.plan.stencil_inputs, strict=True):
            value.copy_(stencil_input.stencil(self.before(stencil_input.state, t)))

    def before(self, s: int, t: int) -> Tensor:
        return self.loop.states[s] if t == 0 else self.trajectory.history[s][t - 1 if self.whole(s) else 0]

    def whole(self, s: int) -> bool:
        """Whether all of a state's values over time are kept, or only the last."""
        return self.loop.keep_all_states or s == 0


class Forward(Steps):
    def __init__(self, loop: PassInputs, trajectory: ForwardResult):
        super().__init__(loop, trajectory)
        computed = sum(g.computed >= 0 for g in loop.layout.groups)
        self.arguments = trajectory.arguments or [loop.states[0].new_empty(1, self.B, self.H) for _ in range(computed)]

    def run(self, t: int) -> None:
        groups = self.loop.layout.groups
        for g, group in enumerate(groups):
            if group.starts_stage:
                time = int(self.loop.save_for_backward)
                outputs = [Operand(a, 1, time) for a in self.arguments]
                self.pointwise(group.stage, t, [(k, o, False) for k, o in enumerate(outputs[group.computed :])])
            if group.computed < 0:
                operand = self.before(group.state, t)
            else:
                operand = self.arguments[group.computed][t if self.loop.save_for_backward else 0]
            torch.mm(operand, self.loop.weights[g].t(), out=self.products[g])
        self.apply_stencils(t)
        stores: list[Store] = [(s, Operand(c), False) for s, c in enumerate(self.carried)]
        stores += [(s, Operand(h, 1, int(self.whole(s))), False) for s, h in enumerate(self.trajectory.history)]
        self.pointwise(self.last, t, stores)

    def pointwise(self, stage: int, t: int, stores: list[Store]) -> None:
        f = self.functions(stage)
        loads: list[Load] = []
        kept: list[Store] = []
        for k, leaf in enumerate(f.inputs):
            i = self.index(leaf)
            if leaf.op == "state":
                loads.append((k, Operand(self.carried[i])))
            elif leaf.op == "vector":
                loads.append((k, Operand(self.loop.vectors[i], 0)))
            elif leaf.op == "stencil_input":
                loads.append((k, Operand(self.stencil_values[i])))
            else:
                term = self.plan.terms[i]
                loads += [(k, self.slot(self.loop.hoisted, i))] if term.hoisted is not None else []
                loads += [(k, self.product(i))] if term.matrix else []
                if term.matrix and self.loop.save_for_backward and stage == self.last:
                    kept.append((k, self.slot(self.loop.terms, i), False))
        outputs = len(self.functions(stage).outputs)
        named = [(len(f.inputs) + k, place, add) for k, place, add in stores if k < outputs]
        launch(f, loads, named + kept, t, self.B, self.H)


class Backward(Steps):
    def __init__(self, loop: PassInputs, trajectory: ForwardResult, dy: Tensor | None, d_final: list[Tensor]):
        super().__init__(loop, trajectory)
        self.dy = dy
        for c, d in zip(self.carried, d_final, strict=True):
            c.copy_(d)
        self.through = [torch.zeros_like(loop.states[0]) for _ in loop.layout.groups]
        self.d_stencils = [torch.zeros_like(n) for n in self.stencil_values]
        self.d_terms = [torch.empty_like(t) for t in loop.terms]
        self.d_vectors = [c.new_zeros(self.B, self.H) for c in [self.carried[0]] for _ in loop.vectors]

    def run(self, t: int) -> None:
        groups = self.loop.layout.groups
        upstream = [[Operand(c)] for c in self.carried]
        if self.dy is not None:
            upstream[0].append(Operand(self.dy, 1, 1))
        for group, d in zip(groups, self.through, strict=True):
            if group.computed < 0:
                upstream[group.state].append(Operand(d))
        self.apply_stencils(t)
        self.pointwise(self.last, t, upstream)
        for stencil_input, d in zip(self.plan.stencil_inputs, self.d_stencils, strict=True):
            self.carried[stencil_input.state] += stencil_input.stencil.transposed(d)
        for g in reversed(range(len(groups))):
            torch.mm(self.products[g], self.loop.weights[g], out=self.through[g])
            if groups[g].starts_stage:
                count = len(self.functions(groups[g].stage).outputs)
                self.pointwise(groups[g].stage, t, [[Operand(d)] for d in self.computed[groups[g].computed :][:count]])

    @cached_property
    def computed(self) -> list[Tensor]:
        return [d for group, d in zip(self.loop.layout.groups, self.through, strict=True) if group.computed >= 0]

    def pointwise(self, stage: int, t: int, upstream: list[list[Operand]]) -> None:
        f = self.functions(stage)
        add = stage != self.last
        loads = [(len(f.inputs) + k, place) for k, places in enumerate(upstream) for place in places]
        stores: list[Store] = []
        for k, leaf in enumerate(f.inputs):
            i, out = self.index(leaf), len(f.inputs) + len(f.outputs) + k
            if leaf.op == "state":
                history = Operand(self.trajectory.history[i], 1, -1) if t else Operand(self.loop.states[i])
                loads.append((k, history))
                stores.append((out, Operand(self.carried[i]), add))
            elif leaf.op == "vector":
                loads.append((k, Operand(self.loop.vectors[i], 0)))
                stores.append((out, Operand(self.d_vectors[i]), True))
            elif leaf.op == "stencil_input":
                loads.append((k, Operand(self.stencil_values[i])))
                stores.append((out, Operand(self.d_stencils[i]), False))
            else:
                loads.append((k, self.slot(self.loop.terms, i)))
                stores.append((out, self.slot(self.d_terms, i), add))
                stores += [(out, self.product(i), add)] if self.plan.terms[i].matrix else []
        launch(adjoint(f), loads, stores, t, self.B, self.H)

    def gradients(self) -> Gradients:
        for group, d in zip(self.loop.layout.groups, self.through, strict=True):
            if group.computed < 0:
                self.carried[group.state] += d
        states = [c.to(s.dtype) for c, s in zip(self.carried, self.loop.states, strict=True)]
        vectors = [d.sum(0).to(v.dtype) for d, v in zip(self.d_vectors, self.loop.vectors, strict=True)]
        return Gradients(self.d_terms, vectors, states)

"""One time step of the stepwise schedule, forward and backward: one product per group and one launch per pointwise function."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from kernels.derive.adjoint import adjoint
from kernels.derive.graph import Node
from kernels.derive.plan_types import Pointwise
from kernels.schedules.diagonal_blocks import multiply, multiply_transposed
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.stepwise.pointwise_kernel import Load, Operand, Store, launch


class Steps(ABC):
    """The tensors of a pass and their addresses, common to both directions. The carried states, or their gradients, are in float32."""

    def __init__(self, inputs: PassInputs, result: ForwardResult):
        self.inputs, self.result, self.plan = inputs, result, inputs.plan
        self.T, self.B, self.H = inputs.shape
        empty = inputs.states[0].new_empty
        self.products = [empty(self.B, len(g.terms) * self.H) for g in inputs.layout.groups]
        self.carried = [s.float().clone() for s in inputs.states]
        self.stencil_values = [empty(self.B, self.H) for _ in self.plan.stencil_inputs]
        self.last = len(self.plan.stages)

    @cached_property
    def product_columns(self) -> dict[int, tuple[int, int]]:
        """Maps the index of a term with a recurrent product to its group and its position in the group."""
        return {i: (g, k) for g, group in enumerate(self.inputs.layout.groups) for k, i in enumerate(group.terms)}

    @abstractmethod
    def run_step(self, t: int) -> None:
        """Runs time step t."""

    def function_of_stage(self, stage: int) -> Pointwise:
        """Returns the pointwise function of a stage, or the step for `last`."""
        argument = self.plan.step if stage == self.last else self.plan.stages[stage].argument
        assert argument is not None
        return argument

    def leaf_index(self, leaf: Node) -> int:
        """Returns the index of a leaf among those of its kind."""
        plan = self.plan
        leaves = {"state": plan.states, "term": plan.term_leaves, "vector": plan.vectors, "stencil_input": plan.stencil_leaves}
        return leaves[leaf.op].index(leaf)

    def term_operand(self, buffers: Sequence[Any], i: int) -> Operand:
        """Returns the operand of term i in `buffers` (T, B, G, H) at time t."""
        buffer, slot = self.inputs.layout.slots[i]
        return Operand(buffers[buffer][:, :, slot], self.inputs.layout.widths[buffer], 1)

    def product_operand(self, i: int) -> Operand:
        """Returns the operand of the recurrent product of term i."""
        g, k = self.product_columns[i]
        return Operand(self.products[g][:, k * self.H :], len(self.inputs.layout.groups[g].terms))

    def apply_stencils(self, t: int) -> None:
        """Applies the stencils to the states before step t."""
        for value, stencil_input in zip(self.stencil_values, self.plan.stencil_inputs, strict=True):
            value.copy_(stencil_input.stencil(self.state_before(stencil_input.state, t)))

    def state_before(self, s: int, t: int) -> Tensor:
        """Returns state s before step t, (B, H)."""
        return self.inputs.states[s] if t == 0 else self.result.history[s][t - 1 if self.keeps_all_steps(s) else 0]

    def keeps_all_steps(self, s: int) -> bool:
        """Returns whether a state is kept after every time step, or only after the last."""
        return self.inputs.keep_all_states or s == 0


class ForwardSteps(Steps):
    """The steps of a forward pass."""

    def __init__(self, inputs: PassInputs, result: ForwardResult):
        super().__init__(inputs, result)
        computed = sum(g.computed >= 0 for g in inputs.layout.groups)
        self.arguments = result.arguments or [inputs.states[0].new_empty(1, self.B, self.H) for _ in range(computed)]

    def run_step(self, t: int) -> None:
        groups = self.inputs.layout.groups
        for g, group in enumerate(groups):
            if group.runs_stage_function:
                time = int(self.inputs.save_for_backward)
                outputs = [Operand(a, 1, time) for a in self.arguments]
                self.run_pointwise(group.stage, t, [(k, o, False) for k, o in enumerate(outputs[group.computed :])])
            if group.computed < 0:
                operand = self.state_before(group.state, t)
            else:
                operand = self.arguments[group.computed][t if self.inputs.save_for_backward else 0]
            if group.heads == 1:
                torch.mm(operand, self.inputs.weights[g].t(), out=self.products[g])
            else:
                self.products[g].copy_(multiply(operand, self.inputs.weights[g]))
        self.apply_stencils(t)
        stores: list[Store] = [(s, Operand(c), False) for s, c in enumerate(self.carried)]
        stores += [(s, Operand(h, 1, int(self.keeps_all_steps(s))), False) for s, h in enumerate(self.result.history)]
        self.run_pointwise(self.last, t, stores)

    def run_pointwise(self, stage: int, t: int, stores: list[Store]) -> None:
        f = self.function_of_stage(stage)
        loads: list[Load] = []
        kept: list[Store] = []
        for k, leaf in enumerate(f.inputs):
            i = self.leaf_index(leaf)
            if leaf.op == "state":
                loads.append((k, Operand(self.carried[i])))
            elif leaf.op == "vector":
                loads.append((k, Operand(self.inputs.vectors[i], 0)))
            elif leaf.op == "stencil_input":
                loads.append((k, Operand(self.stencil_values[i])))
            else:
                term = self.plan.terms[i]
                loads += [(k, self.term_operand(self.inputs.hoisted, i))] if term.hoisted is not None else []
                loads += [(k, self.product_operand(i))] if term.matrix else []
                if term.matrix and self.inputs.save_for_backward and stage == self.last:
                    kept.append((k, self.term_operand(self.inputs.terms, i), False))
        outputs = len(self.function_of_stage(stage).outputs)
        named = [(len(f.inputs) + k, place, add) for k, place, add in stores if k < outputs]
        launch(f, loads, named + kept, t, self.B, self.H)


class BackwardSteps(Steps):
    """The steps of a backward pass."""

    def __init__(self, inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor]):
        super().__init__(inputs, result)
        self.dy = dy
        for c, d in zip(self.carried, d_final, strict=True):
            c.copy_(d)
        self.d_operands = [torch.zeros_like(inputs.states[0]) for _ in inputs.layout.groups]
        self.d_stencils = [torch.zeros_like(n) for n in self.stencil_values]
        self.d_terms = [torch.empty_like(t) for t in inputs.terms]
        self.d_vectors = [c.new_zeros(self.B, self.H) for c in [self.carried[0]] for _ in inputs.vectors]

    def run_step(self, t: int) -> None:
        groups = self.inputs.layout.groups
        upstream = [[Operand(c)] for c in self.carried]
        if self.dy is not None:
            upstream[0].append(Operand(self.dy, 1, 1))
        for group, d in zip(groups, self.d_operands, strict=True):
            if group.computed < 0:
                upstream[group.state].append(Operand(d))
        self.apply_stencils(t)
        self.run_pointwise(self.last, t, upstream)
        for stencil_input, d in zip(self.plan.stencil_inputs, self.d_stencils, strict=True):
            self.carried[stencil_input.state] += stencil_input.stencil.transposed(d)
        for g in reversed(range(len(groups))):
            if groups[g].heads == 1:
                torch.mm(self.products[g], self.inputs.weights[g], out=self.d_operands[g])
            else:
                self.d_operands[g].copy_(multiply_transposed(self.products[g], self.inputs.weights[g], self.H))
            if groups[g].runs_stage_function:
                count = len(self.function_of_stage(groups[g].stage).outputs)
                self.run_pointwise(groups[g].stage, t, [[Operand(d)] for d in self.d_computed[groups[g].computed :][:count]])

    @cached_property
    def d_computed(self) -> list[Tensor]:
        """Returns the gradients of the computed operands, (B, H) each."""
        return [d for group, d in zip(self.inputs.layout.groups, self.d_operands, strict=True) if group.computed >= 0]

    def run_pointwise(self, stage: int, t: int, upstream: list[list[Operand]]) -> None:
        f = self.function_of_stage(stage)
        add = stage != self.last
        loads = [(len(f.inputs) + k, place) for k, places in enumerate(upstream) for place in places]
        stores: list[Store] = []
        for k, leaf in enumerate(f.inputs):
            i, out = self.leaf_index(leaf), len(f.inputs) + len(f.outputs) + k
            if leaf.op == "state":
                history = Operand(self.result.history[i], 1, -1) if t else Operand(self.inputs.states[i])
                loads.append((k, history))
                stores.append((out, Operand(self.carried[i]), add))
            elif leaf.op == "vector":
                loads.append((k, Operand(self.inputs.vectors[i], 0)))
                stores.append((out, Operand(self.d_vectors[i]), True))
            elif leaf.op == "stencil_input":
                loads.append((k, Operand(self.stencil_values[i])))
                stores.append((out, Operand(self.d_stencils[i]), False))
            else:
                loads.append((k, self.term_operand(self.inputs.terms, i)))
                stores.append((out, self.term_operand(self.d_terms, i), add))
                stores += [(out, self.product_operand(i), add)] if self.plan.terms[i].matrix else []
        launch(adjoint(f), loads, stores, t, self.B, self.H)

    def collect_gradients(self) -> Gradients:
        """Returns the gradients after the last step, in the dtypes of the pass."""
        for group, d in zip(self.inputs.layout.groups, self.d_operands, strict=True):
            if group.computed < 0:
                self.carried[group.state] += d
        states = [c.to(s.dtype) for c, s in zip(self.carried, self.inputs.states, strict=True)]
        vectors = [d.sum(0).to(v.dtype) for d, v in zip(self.d_vectors, self.inputs.vectors, strict=True)]
        return Gradients(self.d_terms, vectors, states)

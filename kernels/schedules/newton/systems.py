"""The equations that the newton schedule solves, over all time steps at once: those of the states, and those of their gradients.

Both have a `trajectory` of T + 1 rows, of which one is known, and S values for the T others. `evaluate` computes the values from the
trajectory, by a few products over all T·B rows and pointwise functions. The trajectory solves the system if the two are equal.
`slopes` are the derivative of a value by the row next to its own, within a unit: `slopes[s][r]` of value s by row r, (T, B, H) each.

Memory: T·B·H elements for each state and its value, for each slope (the square of the number of states), and for each term.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from kernels.derive.adjoint import adjoint
from kernels.derive.buffers import contiguous_slots
from kernels.derive.graph import Node
from kernels.derive.linearised import linearise, list_diagonals, name_diagonal
from kernels.derive.plan_types import Pointwise
from kernels.schedules.interface import ForwardResult, PassInputs


class System(ABC):
    """A system of equations over time, with what both directions share.

    Args:
        inputs: the pass.
        terms: the buffers of the terms, (T, B, G, H) each.
        evaluator: evaluates a pointwise function over all rows, `cpu_form.evaluate` or `triton_form.evaluate`.

    Attributes:
        is_reversed: whether the known row of the trajectory is the last, and each row follows from the next.
    """

    is_reversed = False

    def __init__(self, inputs: PassInputs, terms: Sequence[Tensor], evaluator: Any):
        self.inputs, self.plan, self.terms, self.evaluator = inputs, inputs.plan, terms, evaluator
        self.T, self.B, self.H = inputs.shape
        empty, S = inputs.states[0].new_empty, len(inputs.states)
        self.trajectory = [empty(self.T + 1, self.B, self.H) for _ in range(S)]
        self.values = [empty(self.T, self.B, self.H) for _ in range(S)]
        self.slopes = [[empty(self.T, self.B, self.H) for _ in range(S)] for _ in range(S)]

    def start_from(self, guess: Sequence[Tensor]) -> None:
        """Copies a guess of the trajectory, but for its known row."""
        unknown = slice(None, -1) if self.is_reversed else slice(1, None)
        for rows, guessed in zip(self.trajectory, guess, strict=True):
            rows[unknown] = guessed[unknown]

    @abstractmethod
    def states_before(self) -> list[Tensor]:
        """Returns each state before every time step, (T, B, H)."""

    @abstractmethod
    def evaluate(self) -> None:
        """Computes the values of the trajectory, and the slopes."""

    @abstractmethod
    def prepare_update(self) -> None:
        """Computes what an update reads that evaluates the linearised step itself."""

    def linearise(self, values: list[Tensor | None]) -> None:
        """Computes the slopes at the states, and the next states into `values`, None for those that aren't needed."""
        outputs = [*values, *(slope for by in self.slopes for slope in by)]
        self.evaluator(self.plan, linearise(self.plan), self.find_linearised_inputs(), outputs)

    def find_linearised_inputs(self) -> list[Tensor]:
        """Returns the inputs of the linearised step."""
        diagonals: dict[str, Tensor] = {}
        for group, weight in zip(self.inputs.layout.groups, self.inputs.weights, strict=True):
            for i, square in zip(group.terms, weight.unflatten(0, (-1, self.H)), strict=True):
                diagonals.setdefault(self.plan.terms[i].matrix, square.diagonal().contiguous())
        leaves = {self.plan.graph.leaf("diagonal", name_diagonal(name)): diagonals[name] for name in list_diagonals(self.plan)}
        return self.find_inputs(linearise(self.plan), leaves)

    def find_inputs(self, f: Pointwise, others: dict[Node, Tensor]) -> list[Tensor]:
        """Returns the inputs of a pointwise function: states and terms of all rows, vectors, and `others`."""
        known = {
            **dict(zip(self.plan.states, self.states_before(), strict=True)),
            **dict(zip(self.plan.vectors, self.inputs.vectors, strict=True)),
        }
        known |= {leaf: self.terms[k][:, :, slot] for leaf, (k, slot) in zip(self.plan.term_leaves, self.inputs.layout.slots, strict=True)}
        return [(known | others)[leaf] for leaf in f.inputs]

    def flat_columns(self, buffers: Sequence[Any], buffer: int, slot: int, count: int) -> Tensor:
        """Returns slots of a buffer (T, B, G, H) as the columns of a matrix, (T·B, count·H)."""
        columns: Tensor = buffers[buffer].view(self.T * self.B, -1)[:, slot * self.H : (slot + count) * self.H]
        return columns


class ForwardSystem(System):
    """The states after every time step, from those before.

    Args:
        result: where the computed operands are written if they are saved.
    """

    def __init__(self, inputs: PassInputs, result: ForwardResult, evaluator: Any):
        self.hoisted = inputs.hoisted
        terms = self.make_terms(inputs)
        super().__init__(inputs, terms, evaluator)
        computed = sum(group.computed >= 0 for group in inputs.layout.groups)
        self.arguments = result.arguments or [torch.empty_like(self.values[0]) for _ in range(computed)]
        for rows, state in zip(self.trajectory, inputs.states, strict=True):
            rows.zero_()
            rows[0] = state

    @staticmethod
    def make_terms(inputs: PassInputs) -> list[Any]:
        """Makes the buffers of the terms; a recurrent one is not that of its hoisted values, which every iteration reads."""
        found = list(inputs.terms) if inputs.terms else list(inputs.hoisted)
        for k in inputs.layout.recurrent_buffers:
            hoisted = inputs.hoisted[k]
            if hoisted is None:
                found[k] = (
                    inputs.terms[k] if inputs.terms else inputs.states[0].new_empty(*inputs.rows, inputs.layout.widths[k], inputs.shape[2])
                )
            elif found[k] is hoisted:
                found[k] = hoisted.clone()
                if inputs.terms:
                    inputs.terms[k] = found[k]  # what is saved
        return found

    def states_before(self) -> list[Tensor]:
        return [rows[: self.T] for rows in self.trajectory]

    def evaluate(self) -> None:
        self.prepare_update()
        self.linearise(list(self.values))

    def prepare_update(self) -> None:
        """Computes the terms from the trajectory: the products of all rows, stage by stage."""
        layout = self.inputs.layout
        for group, weight in zip(layout.groups, self.inputs.weights, strict=True):
            if group.runs_stage_function:
                function = self.plan.stages[group.stage].argument
                assert function is not None
                outputs = self.arguments[group.computed : group.computed + len(function.outputs)]
                self.evaluator(self.plan, function, self.find_inputs(function, {}), outputs)
            operand = self.trajectory[group.state][: self.T] if group.computed < 0 else self.arguments[group.computed]
            for first, count, buffer, slot in contiguous_slots([layout.slots[i] for i in group.terms]):
                W = weight[first * self.H : (first + count) * self.H].t()
                out = self.flat_columns(self.terms, buffer, slot, count)
                if self.plan.terms[group.terms[first]].hoisted is None:
                    torch.mm(operand.flatten(0, 1), W, out=out)
                else:
                    torch.addmm(self.flat_columns(self.hoisted, buffer, slot, count), operand.flatten(0, 1), W, out=out)


class BackwardSystem(System):
    """The gradient of the states before every time step, from those after. It is linear, and its slopes are constant.

    Args:
        result: that of the forward pass.
        dy: the gradient of the output, (T, B, H), None for zero.
        d_final: the gradients of the final states, (B, H) each.

    Attributes:
        d_terms: the gradients of the terms, (T, B, G, H) each, of the last evaluation.
        d_vectors: those of the vectors in every row, (T, B, H) each, of `finish`.
    """

    is_reversed = True

    def __init__(self, inputs: PassInputs, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], evaluator: Any):
        super().__init__(inputs, inputs.terms, evaluator)
        self.result, self.dy = result, dy
        self.before = [torch.cat([state.unsqueeze(0), history[:-1]]) for state, history in zip(inputs.states, result.history, strict=True)]
        self.d_terms = [torch.empty_like(t) for t in inputs.terms]
        self.d_vectors = [torch.empty_like(self.values[0]) for _ in inputs.vectors]
        self.d_arguments = [torch.empty_like(self.values[0]) for group in inputs.layout.groups if group.computed >= 0]
        for rows, d in zip(self.trajectory, d_final, strict=True):
            rows.zero_()
            rows[-1] = d
        if dy is not None:
            self.trajectory[0][-1] += dy[-1]
        self.linearise([None for _ in inputs.states])
        self.slopes = [list(by) for by in zip(*self.slopes, strict=True)]  # transposed

    def states_before(self) -> list[Tensor]:
        return self.before

    def evaluate(self) -> None:
        self.differentiate(False)

    def prepare_update(self) -> None:
        self.evaluate()

    def finish(self) -> None:
        """Computes the gradients of the terms and vectors."""
        self.differentiate(True)

    def differentiate(self, finish: bool) -> None:
        """Computes the adjoint of all rows, stage by stage; to finish, that of the vectors too, and no product with a state."""
        layout, upstream = self.inputs.layout, [rows[1:] for rows in self.trajectory]
        self.apply_adjoint(self.plan.step, upstream, finish, False)
        for group, weight in reversed(list(zip(layout.groups, self.inputs.weights, strict=True))):
            if group.computed >= 0 or not finish:
                self.multiply(group, weight)
            if group.runs_stage_function:
                function = self.plan.stages[group.stage].argument
                assert function is not None
                d_computed = self.d_arguments[group.computed : group.computed + len(function.outputs)]
                self.apply_adjoint(function, d_computed, finish, True)
        if self.dy is not None:
            self.values[0][1:] += self.dy[:-1]

    def multiply(self, group: Any, weight: Tensor) -> None:
        """Computes the gradient of a group's operand, from those of its terms."""
        d = (self.values[group.state] if group.computed < 0 else self.d_arguments[group.computed]).view(-1, self.H)
        for first, count, buffer, slot in contiguous_slots([self.inputs.layout.slots[i] for i in group.terms]):
            d_terms, W = self.flat_columns(self.d_terms, buffer, slot, count), weight[first * self.H : (first + count) * self.H]
            if group.computed >= 0 and first == 0:
                torch.mm(d_terms, W, out=d)
            else:
                d.addmm_(d_terms, W)

    def apply_adjoint(self, f: Pointwise, upstream: list[Tensor], finish: bool, add: bool) -> None:
        """Computes, or adds, the gradients of the inputs of a pointwise function from those of its outputs."""
        reverse, slots = adjoint(f), self.inputs.layout.slots
        leaves = dict(zip(reverse.inputs[len(f.inputs) :], upstream, strict=True))
        outputs: list[Tensor | None] = []
        for leaf in f.inputs:
            if leaf.op == "state":
                outputs.append(self.values[self.plan.states.index(leaf)])
            elif leaf.op == "term":
                buffer, slot = slots[self.plan.term_leaves.index(leaf)]
                outputs.append(self.d_terms[buffer][:, :, slot])
            else:
                outputs.append(self.d_vectors[self.plan.vectors.index(leaf)] if finish else None)
        self.evaluator(self.plan, reverse, self.find_inputs(reverse, leaves), outputs, add)

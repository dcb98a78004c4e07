"""Turns a pass over a sequence into the arguments of the persistent kernels."""

from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import torch
import triton
from torch import Tensor

from kernels.derive.adjoint import adjoint
from kernels.derive.plan import Plan
from kernels.derive.plan_types import Pointwise
from kernels.schedules.cache_keys import compute_keys
from kernels.schedules.interface import ForwardResult, Gradients, PassInputs
from kernels.schedules.persistent import time_loop
from kernels.schedules.persistent.grid_barrier import COUNTER_STRIDE
from kernels.schedules.persistent.tiling import Direction, Tiles
from kernels.schedules.stepwise.pointwise_kernel import jit_function


def allows_tf32() -> bool:
    """Returns whether float32 products may be computed in tf32: the kernels follow the setting of cuBLAS."""
    return torch.backends.cuda.matmul.allow_tf32


class Launch:
    """Holds what both kernels take: the plan as tuples, the sizes, the counters of the barrier and the launch options.

    Args:
        inputs: the pass to run.
        tiles: the tile configuration to run it with.
    """

    def __init__(self, inputs: PassInputs, tiles: Tiles):
        compute_keys(time_loop)
        self.inputs, self.plan, self.layout = inputs, inputs.plan, inputs.layout
        self.T, self.B, self.H = inputs.shape
        self.tiles = tiles
        groups = self.layout.groups
        self.products = [(g, k, i) for g, group in enumerate(groups) for k, i in enumerate(group.terms)]
        self.counts = tuple(len(group.terms) for group in groups)
        self.operand_index = tuple(group.state if group.computed < 0 else len(inputs.states) + group.computed for group in groups)
        self.stages = tuple(group.stage for group in groups)
        self.store_before_barrier = tuple(s in self.operand_index for s in range(len(inputs.states)))
        computed = [group for group in groups if group.computed >= 0]
        first_computed_of_stage = {group.stage: group.computed for group in computed if group.runs_stage_function}
        self.computed_arguments = tuple((group.stage, group.computed - first_computed_of_stage[group.stage]) for group in computed)
        batch_tiles = -(-self.B // tiles.BB)
        self.counters = torch.zeros(batch_tiles * COUNTER_STRIDE.value, dtype=torch.int32, device=inputs.states[0].device)
        precision = "tf32" if allows_tf32() else "ieee"
        self.sizes = (self.T, self.B, self.H, tiles.BB, tiles.BN, tiles.BK, tiles.units_as_rows, tiles.split, tiles.prefetch, precision)
        self.options = {"num_warps": tiles.warps, "enable_fp_fusion": True, "launch_cooperative_grid": tiles.programs(self.H) > 1}
        self.grid = (tiles.grid(self.B, self.H),)

    def allocate_result(self) -> ForwardResult:
        """Allocates what the forward kernel fills: every state and computed argument at every time step, kept or not."""
        empty = self.inputs.states[0].new_empty
        history = self.inputs.history or [empty(self.inputs.shape) for _ in self.inputs.states]
        return ForwardResult(history, [empty(self.inputs.shape) for _ in self.computed_arguments])

    def allocate_gradients(self) -> Gradients:
        """Allocates what the backward kernel fills. The gradient of a vector is one row per batch tile, (batch tiles, H)."""
        batch_tiles = -(-self.B // self.tiles.BB)
        vectors = [v.new_empty(batch_tiles, self.H, dtype=torch.float32) for v in self.inputs.vectors]
        states = [s.new_empty(s.shape, dtype=torch.float32) for s in self.inputs.states]
        return Gradients([torch.empty_like(t) for t in self.inputs.terms], vectors, states)

    def finish_gradients(self, filled: Gradients) -> Gradients:
        """Adds what the backward kernel leaves out: the products of the first step, and the sums over batch tiles."""
        for g, k, i in self.products:
            if self.operand_index[g] < len(self.inputs.states):
                weight = self.inputs.weights[g][k * self.H : (k + 1) * self.H]
                filled.states[self.operand_index[g]] += self.view_slot(filled.terms, i)[0][0] @ weight
        vectors = [d.sum(0).to(v.dtype) for d, v in zip(filled.vectors, self.inputs.vectors, strict=True)]
        states = [d.to(s.dtype) for d, s in zip(filled.states, self.inputs.states, strict=True)]
        return Gradients(filled.terms, vectors, states)

    @property
    def barriers_per_step(self) -> int:
        """Returns the number of grid barriers in a time step."""
        return 1 + len(argument_functions(self.plan))

    def view_slot(self, buffers: Sequence[Any], i: int) -> tuple[Tensor, int]:
        """Returns the slot of term i in `buffers` (T, B, G, H) as a view (T, B, H), and its row stride."""
        buffer, slot = self.layout.slots[i]
        return buffers[buffer].select(2, slot), self.layout.widths[buffer] * self.H

    def collect_loads(self, buffers: Sequence[Any]) -> list[tuple[Tensor, int, tuple[int, int]]]:
        """Lists what the step reads besides states: the tensor, the input's index, and (row stride, 1 if it has a time axis)."""
        found: list[tuple[Tensor, int, tuple[int, int]]] = []
        for k, leaf in enumerate(self.plan.step.inputs):
            if leaf.op == "vector":
                found.append((self.inputs.vectors[self.plan.vectors.index(leaf)], k, (0, 0)))
            elif leaf.op == "term" and buffers[self.layout.slots[self.plan.term_leaves.index(leaf)][0]] is not None:
                tensor, stride = self.view_slot(buffers, self.plan.term_leaves.index(leaf))
                found.append((tensor, k, (stride, 1)))
        return found

    def collect_stores(self, buffers: Sequence[Any], terms: Sequence[int]) -> list[tuple[Tensor, int, int]]:
        """Lists where the values of `terms` are stored: the tensor, the index of the step's input, and the row stride."""
        return [(tensor, self.input_index(i), stride) for i in terms for tensor, stride in [self.view_slot(buffers, i)]]

    def input_index(self, i: int) -> int:
        """Returns the index of term i among the inputs of the step."""
        return self.plan.step.inputs.index(self.plan.term_leaves[i])


def argument_functions(plan: Plan) -> dict[int, Pointwise]:
    """Returns, by stage, the function that computes the operands of its products."""
    return {k: stage.argument for k, stage in enumerate(plan.stages) if stage.argument}


@cache
def jit_functions(plan: Plan, direction: Direction) -> tuple[Any, ...]:
    """Compiles the pointwise functions of a pass; all of them take the inputs of the step.

    Returns:
        The step or its adjoint; the functions that compute operands, or their adjoints; and for each stage the index of its function
        among the latter, -1 for a stage without one.
    """
    found = argument_functions(plan)
    pointwise = [plan.step, *(replace(f, inputs=plan.step.inputs) for f in found.values())]
    step, *rest = [jit_function(f if direction == "forward" else adjoint(f)) for f in pointwise]
    return step, tuple(rest), tuple(list(found).index(stage) if stage in found else -1 for stage in range(len(plan.stages)))


def transpose(rows: Sequence[tuple[Any, ...]], count: int) -> list[tuple[Any, ...]]:
    """Returns the `count` columns of rows as tuples; empty tuples where there are no rows."""
    return [tuple(row[k] for row in rows) for k in range(count)]


def forward_arguments(launch: Launch, result: ForwardResult) -> tuple[Any, ...]:
    """Returns the arguments of `time_loop.forward`."""
    inputs, plan = launch.inputs, launch.plan
    groups, columns, terms = transpose(launch.products, 3)
    writes = launch.collect_stores(inputs.terms, terms) if inputs.save_for_backward else []
    return (
        *jit_functions(plan, "forward"), len(plan.step.inputs), len(plan.states), launch.barriers_per_step,
        triton.next_power_of_2(max(launch.counts)), *transpose(launch.collect_loads(inputs.hoisted), 3), *transpose(writes, 3),
        tuple(inputs.weights), launch.counts, launch.operand_index, launch.store_before_barrier, launch.stages, groups, columns,
        tuple(map(launch.input_index, terms)), launch.computed_arguments, tuple(inputs.states), tuple(result.history),
        tuple(result.arguments), launch.counters, *launch.sizes,
    )  # fmt: skip


def backward_arguments(
    launch: Launch, result: ForwardResult, dy: Tensor | None, d_final: list[Tensor], filled: Gradients
) -> tuple[Any, ...]:
    """Returns the arguments of `time_loop.backward`; `filled` are the gradients that it fills, from `Launch.allocate_gradients`."""
    inputs, step = launch.inputs, launch.plan.step
    groups, columns, terms = transpose(launch.products, 3)
    d_terms = [launch.view_slot(filled.terms, i) for i in terms]
    writes = launch.collect_stores(filled.terms, range(len(launch.plan.terms)))
    computed = {i: group.stage for group in launch.layout.groups if group.computed >= 0 for i in group.terms}
    return (
        *jit_functions(launch.plan, "backward"), len(step.inputs), len(inputs.states), len(inputs.vectors), launch.barriers_per_step,
        *transpose(launch.collect_loads(inputs.terms), 3), *transpose(writes, 3),
        tuple(computed.get(i, -1) for i in range(len(launch.plan.terms))),
        tuple(i in terms for i in range(len(launch.plan.terms))),
        tuple(inputs.weights), launch.counts, launch.operand_index, groups, columns, *transpose(d_terms, 2), launch.computed_arguments,
        tuple(inputs.states), tuple(result.history), dy, tuple(d_final), tuple(filled.states), tuple(filled.vectors), launch.counters,
        *launch.sizes,
    )  # fmt: skip

"""A schedule of one's own: the loop over time in plain torch, for cells of one stage. The least that a schedule can be.

A schedule is a module that defines four names: COMPUTES_PROJECTIONS, unsupported_reason, forward and backward. A fifth,
RECOMPUTE_COLUMNS, is needed only if COMPUTES_PROJECTIONS is True.
"""

import sys

import torch

import cells
from kernels import RNN
from kernels.derive.adjoint import adjoint
from kernels.derive.buffers import layout
from kernels.derive.plan import plan as plan_of
from kernels.layer.input_products import GraphEvaluator
from kernels.layer.select import SCHEDULES
from kernels.schedules.interface import Gradients

COMPUTES_PROJECTIONS = False
"""Whether the loop computes the input projections itself; this one takes them precomputed."""


def products(inputs, states):
    """Each term's recurrent product: one matrix product for a group."""
    found = {}
    for group, weight in zip(inputs.layout.groups, inputs.weights):
        parts = (states[group.state] @ weight.t()).chunk(len(group.terms), dim=1)
        found |= dict(zip(group.terms, parts))
    return found


def slots(buffers, layout, t):
    """The terms of a step, as they lie in memory."""
    return [buffers[buffer][t, :, slot] for buffer, slot in layout.slots]


def evaluate(function, leaves, values, like):
    found = GraphEvaluator(dict(zip(leaves, values)), {})
    return [
        found[output] + torch.zeros_like(like) if output.value is None else torch.full_like(like, output.value)
        for output in function.outputs
    ]


def unsupported_reason(plan, dtype, device, B, H):
    if any(group.computed >= 0 for group in layout(plan).groups):
        return f"runs one stage, and {plan.cell.name} has two"
    return None


def forward(inputs):
    plan, result, states = inputs.plan, inputs.allocate_result(), inputs.states
    for t in range(inputs.T):
        added = products(inputs, states)
        terms = []
        for i, (term, (buffer, slot)) in enumerate(zip(plan.terms, inputs.layout.slots)):
            value = added.get(i, 0) + (inputs.hoisted[buffer][t, :, slot] if term.hoisted is not None else 0)
            terms.append(value)
            if inputs.save_for_backward and term.matrix:  # the others are there already
                inputs.terms[buffer][t, :, slot] = value
        leaves = (*plan.states, *plan.term_leaves, *plan.vectors)
        states = evaluate(plan.step, leaves, (*states, *terms, *inputs.vectors), states[0])
        for history, state in zip(result.history, states):
            history[t if len(history) == inputs.T else 0] = state
    return result


def backward(inputs, result, dy, d_final):
    plan, buffer_layout, reverse = inputs.plan, inputs.layout, adjoint(inputs.plan.step)
    d_states = list(d_final)
    d_terms = [torch.zeros_like(term) for term in inputs.terms]
    d_vectors = [torch.zeros_like(vector) for vector in inputs.vectors]
    for t in reversed(range(inputs.T)):
        if dy is not None:
            d_states[0] = d_states[0] + dy[t]
        before = [history[t - 1] for history in result.history] if t else inputs.states
        terms = slots(inputs.terms, buffer_layout, t)
        given = dict(zip((*plan.states, *plan.term_leaves, *plan.vectors), (*before, *terms, *inputs.vectors)))
        leaves = (*given, *reverse.inputs[len(plan.step.inputs) :])
        found = dict(zip(plan.step.inputs, evaluate(reverse, leaves, (*given.values(), *d_states), before[0])))
        d_states = [found[state] for state in plan.states]
        for leaf, (buffer, slot) in zip(plan.term_leaves, buffer_layout.slots):
            d_terms[buffer][t, :, slot] = found[leaf]
        for group, weight in zip(buffer_layout.groups, inputs.weights):
            d = torch.cat([found[plan.term_leaves[i]] for i in group.terms], dim=1)
            d_states[group.state] = d_states[group.state] + d @ weight
        for total, vector in zip(d_vectors, plan.vectors):
            total += found[vector].sum(0)
    return Gradients(d_terms, d_vectors, d_states)


def main() -> None:
    SCHEDULES["plain"] = sys.modules[__name__]
    checked = []
    for name in cells.DEFAULT:
        cell, sizes = cells.load(name), (torch.float64, torch.device("cpu"), 3, 6)
        if unsupported_reason(plan_of(cell), *sizes):
            continue
        plain, eager = (RNN(name, 4, 6, backend=backend, dtype=torch.float64) for backend in ("plain", "eager"))
        eager.load_state_dict(plain.state_dict())
        x = torch.randn(5, 3, 4, dtype=torch.float64)
        results = []
        for layer in (plain, eager):
            y, _ = layer(x)
            results.append([y, *torch.autograd.grad(y.sin().sum(), [*layer.parameters()])])
        assert all(torch.allclose(a, b, rtol=1e-9, atol=1e-12) for a, b in zip(*results)), name
        checked.append(name)
    del SCHEDULES["plain"]
    print(f"as the equations in float64: {', '.join(checked)}")


if __name__ == "__main__":
    main()

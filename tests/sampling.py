"""Tests over a product of parameters, of which `make test` takes a sample and `make test-full` all."""

import itertools
from collections.abc import Collection, Sequence

import pytest
from _pytest.mark.structures import ParameterSet

import cells
from kernels.derive.plan import plan


def choose(lengths: Sequence[int]) -> set[tuple[int, ...]]:
    """Returns the members of a sample, as places on axes of so many values: every third value of one axis, every value of two axes, and
    every pair of values of three or more axes' two longest, where the others turn with both."""
    if len(lengths) == 1:
        return {(i,) for i in range(0, lengths[0], 3)}
    if len(lengths) == 2:
        return {tuple(i % n for n in lengths) for i in range(max(lengths))}
    first, second = sorted(range(len(lengths)), key=lambda k: -lengths[k])[:2]
    pairs = itertools.product(range(lengths[first]), range(lengths[second]))
    return {tuple(i if k == first else j if k == second else (i + j) % n for k, n in enumerate(lengths)) for i, j in pairs}


def sample(names: str, *axes: Sequence[object], taken: Collection[object] | None = None) -> pytest.MarkDecorator:
    """Parametrizes a test over the product of its axes; the members that are not in the sample are marked `full`. The sample is of those
    values of the first axis that are `taken`, of all by default."""
    first = [value for value in axes[0] if taken is None or value in taken]
    chosen = {(first[i], *rest) for i, *rest in choose([len(first), *map(len, axes[1:])])}
    rows = []
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        values = [axis[i] for axis, i in zip(axes, places, strict=True)]
        marks = () if (values[0], *places[1:]) in chosen else pytest.mark.full
        rows.append(pytest.param(*values, marks=marks, id="-".join(map(str, values))))
    return pytest.mark.parametrize(names, rows)


def in_full(*values: object, id: str | None = None) -> ParameterSet:
    """A member of a list of parameters that `make test-full` alone runs: it is slow, and others of the list find what it would."""
    return pytest.param(*values, marks=pytest.mark.full, id=id)


def kind_of(name: str) -> tuple[object, ...]:
    """Returns what makes a cell's plan another one than the plans of others, other names, matrices and functions aside."""
    cell = cells.load(name)
    found = plan(cell)
    operands = tuple(tuple(operand.op == "state" for operand, _ in stage.groups) for stage in found.stages)
    facts = (found.stencil_inputs, found.elementwise_input, found.uses_prev, cell.heads, cell.start)
    return operands, len(found.states), *map(bool, facts)


def of_each_kind(names: Sequence[str]) -> list[str]:
    """Returns the first of the cells of each kind: a test with a cell of another name is one of the full suite."""
    return [*{kind_of(name): name for name in reversed(names)}.values()]


def each_kind(names: Sequence[str]) -> pytest.MarkDecorator:
    """Parametrizes a test over cells; those that are not the first of their kind are marked `full`."""
    chosen = of_each_kind(names)
    return pytest.mark.parametrize("name", [name if name in chosen else in_full(name) for name in names])

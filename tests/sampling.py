"""Tests over a product of parameters, of which `make test` takes a sample and `make test-full` all."""

import itertools
from collections.abc import Sequence

import pytest
from _pytest.mark.structures import ParameterSet


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


def sample(names: str, *axes: Sequence[object]) -> pytest.MarkDecorator:
    """Parametrizes a test over the product of its axes; the members that are not in the sample are marked `full`."""
    chosen, rows = choose([len(axis) for axis in axes]), []
    for places in itertools.product(*(range(len(axis)) for axis in axes)):
        values = [axis[i] for axis, i in zip(axes, places, strict=True)]
        rows.append(pytest.param(*values, marks=() if places in chosen else pytest.mark.full, id="-".join(map(str, values))))
    return pytest.mark.parametrize(names, rows)


def in_full(*values: object, id: str | None = None) -> ParameterSet:
    """A member of a list of parameters that `make test-full` alone runs: it is slow, and others of the list find what it would."""
    return pytest.param(*values, marks=pytest.mark.full, id=id)

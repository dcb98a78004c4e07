"""The passes over a row that a function with sums over units is split into."""

import pytest
import torch

from cells.grammar.cell import Cell
from cells.grammar.functions import exp, layer_norm, mean, sigmoid, softmax, tanh
from kernels.derive.adjoint import adjoint, compile_pointwise
from kernels.derive.passes import split_passes
from kernels.derive.plan import plan
from kernels.derive.plan_types import Pointwise
from tests.expressions import SUMMING
from tests.tolerances import TOLERANCE


def values_of(f: Pointwise, *given: torch.Tensor) -> list[torch.Tensor]:
    return [torch.as_tensor(v, dtype=torch.float64).expand(3, 6) for v in compile_pointwise(f)(*given)]


def run_passes(f: Pointwise, given: list[torch.Tensor]) -> list[torch.Tensor]:
    """Pass by pass, with NaN in the rows that are not there yet."""
    passes = split_passes(f)
    rows = [torch.full((3, 6), float("nan"), dtype=torch.float64) for _ in passes.rows]
    end = 0
    for function in passes.functions[:-1]:
        found = values_of(function, *given, *rows)
        for value in found:
            reduction = passes.rows[end]
            rows[end], end = (value if reduction is None else reduction(value).expand(3, 6)), end + 1
    assert end == len(rows) and not any(function.reductions for function in passes.functions)
    return values_of(passes.functions[-1], *given, *rows)


@pytest.mark.parametrize("name", SUMMING)
def test_passes_compute_the_function(name):
    for f in (SUMMING[name], adjoint(SUMMING[name])):
        torch.manual_seed(0)
        given = [torch.randn(3, 6, dtype=torch.float64) for _ in f.inputs]
        for found, expected in zip(run_passes(f, given), values_of(f, *given), strict=True):
            assert (found - expected).abs().max() <= TOLERANCE["paper", torch.float64] * expected.abs().max()


def step_of(step) -> Pointwise:
    return plan(Cell(step)).step


def test_few_passes():
    """Sums that don't wait for each other share a pass, each value is computed in the first pass that reads it, and nothing twice."""
    one = split_passes(step_of(lambda h, c, x, W, b: (tanh(h), sigmoid(h) * c + W.x(x))))
    assert len(one.functions) == 1 and one.rows == ()
    two = split_passes(step_of(lambda h, c, x, W, b: (tanh(h) - mean(c) + W.x(x), c - mean(h))))
    assert len(two.functions) == 2 and all(two.rows), "tanh(h) waits for the last pass, so no row keeps it"
    kept = split_passes(step_of(lambda h, x, W, b: softmax(h) + W.x(x)))
    assert [row and row.kind for row in kept.rows] == ["max", None, "sum"], "exp(h - max) is added up, and divided after that"
    three = split_passes(step_of(lambda h, x, W, b: layer_norm(exp(h)) + W.x(x)))
    assert [row and row.kind for row in three.rows] == [None, "mean", None, "mean"]

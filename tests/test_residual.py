"""The residual of a backend that iterates: small where it has solved the equations, and of the states that it returns."""

import pytest

from bench.measure.problem import make_problem
from bench.measure.residual import add_residual
from bench.records import Errors
from kernels.schedules.newton import newton


def residual(backend: str, cell: str, dtype: str = "float32") -> float | None:
    return add_residual(Errors(output=0.0), backend, make_problem(cell, 20, 2, 8, 8, dtype, "cpu", 0)).residual


@pytest.mark.parametrize("backend", ["newton", "newton-low"])
@pytest.mark.parametrize("cell", ["minimal", "lstm", "gru_reset_before", "sru"])
def test_small(cell, backend, monkeypatch):
    """In float32 rounding alone, and in 16 bit the rounding of the states."""
    monkeypatch.setattr("bench.measure.residual.CHUNK", 8)
    for dtype, least, most in (("float32", 0, 3e-6), ("bfloat16", 1e-4, 1e-2)):
        found = residual(backend, cell, dtype)
        assert found is not None and least <= found <= most, (dtype, found)


def test_seen(monkeypatch):
    """States that solve nothing have a large one."""
    forward = newton.forward

    def spoil(inputs):
        result = forward(inputs)
        result.history[0][5] += 0.1
        return result

    monkeypatch.setattr(newton, "forward", spoil)
    found = residual("newton", "minimal")
    assert found is not None and found > 0.05


def test_of_those_that_iterate_alone():
    assert residual("compiled", "minimal") is None

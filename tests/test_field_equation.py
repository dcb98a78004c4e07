"""Wave equations given as expressions: against what is known of their waves, and against the cell that is written out."""

import math
from dataclasses import replace

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.field_equation import second_order
from cells.grammar.grid import Grid
from cells.wave import wave
from kernels import RNN
from tests.reference import agree, problem, solve
from tests.tolerances import TOLERANCE

T64 = torch.float64


def klein_gordon(u, rate, lap, p):
    return p.c**2 * lap - p.m**2 * u


def string(u, rate, lap, p):
    return p.c**2 * lap - 2 * p.b * rate


N = 63
"""Points between the fixed ends of a string."""


def waves(equation, h: float, dt: float, steps: int, start: tuple[torch.Tensor, torch.Tensor], **values: float) -> torch.Tensor:
    """u over time (T, N) from u_0 and u_{−1} (N), with the same learned values everywhere and nothing at the sources."""
    N = len(start[0])
    layer = RNN(second_order(equation, Grid((N,), h=h), dt), 1, N, dtype=T64, backend="eager")
    with torch.no_grad():
        layer.weight_source_l0.zero_()
        for name, value in values.items():
            getattr(layer, f"weight_{name}_l0").fill_(value)
        y, _ = layer(torch.zeros(steps, 1, 1, dtype=T64), tuple(s.view(1, 1, N) for s in start))
    return y[:, 0]


def mode(n: int, N: int = N) -> torch.Tensor:
    """The n-th standing wave of a string of N points, of wave number n π / length."""
    return torch.sin(n * math.pi * torch.arange(1, N + 1, dtype=T64) / (N + 1))


@pytest.mark.parametrize("n", [1, 7, 40, 63])
def test_klein_gordon_as_differences_have_it(n):
    """4 sin²(ω dt/2) / dt² = 4 c² sin²(k h/2) / h² + m², exactly: a standing wave of the grid swings as cos ω t to rounding."""
    h, dt, c, m = 0.1, 0.05, 1.5, 4.0
    k = n * math.pi / ((N + 1) * h)
    omega = 2 / dt * math.asin(dt / 2 * math.sqrt((2 * c * math.sin(k * h / 2) / h) ** 2 + m**2))
    u = waves(klein_gordon, h, dt, 200, (mode(n), mode(n) * math.cos(omega * dt)), c=c, m=m)
    times = dt * torch.arange(1, 201, dtype=T64)
    assert (u - torch.cos(omega * times)[:, None] * mode(n)).abs().max() < 1e-10


def test_klein_gordon_as_the_equation_has_it():
    """ω² = c² k² + m²: half the steps in space and in time leave a fourth of the error."""
    omega, errors = math.sqrt((2 * math.pi) ** 2 + 9), []
    for N, steps in ((31, 120), (63, 240)):
        dt = 2.0 / steps
        u = waves(klein_gordon, 1 / (N + 1), dt, steps, (mode(2, N), mode(2, N) * math.cos(omega * dt)), c=1.0, m=3.0)
        errors.append((u[-1] - math.cos(omega * 2.0) * mode(2, N)).abs().max().item())
    assert errors[0] < 0.05 and 3.8 < errors[0] / errors[1] < 4.2


def test_damped_string():
    """u = e^(−b t) cos(√(ω² − b²) t): the error falls with the square of the step."""
    c, b, n, length = 1.0, 0.6, 3, 1.0
    h = length / (N + 1)
    omega = 2 * c / h * math.sin(n * math.pi * h / 2)  # of the string as its grid has it: time alone is measured here
    swing = math.sqrt(omega**2 - b**2)
    errors = []
    for steps in (400, 800):
        dt = 2.0 / steps
        before = math.exp(b * dt) * math.cos(swing * dt)
        u = waves(string, h, dt, steps, (mode(n), before * mode(n)), c=c, b=b)
        times = dt * torch.arange(1, steps + 1, dtype=T64)
        exact = (torch.exp(-b * times) * torch.cos(swing * times))[:, None] * mode(n)
        errors.append((u - exact).abs().max().item())
    assert errors[0] < 2e-3 and 3.8 < errors[0] / errors[1] < 4.2


def test_the_wave_written_out():
    """u_tt = c² ∇²u − 2 b u_t, as an expression, is the cell `wave`."""

    def expression(u, rate, lap, p):
        return p.c**2 * lap - 2 * p.b * rate

    given = problem(wave, 7, 2, 3, 20, dtype=T64)
    speed = 0.5 + 0.5 * given.given["p.c"].sigmoid()
    literal = given.with_given(**{"p.b": torch.rand(20, dtype=T64)})
    made = replace(literal, cell=second_order(expression)).with_given(**{"p.c": speed})
    names = ("y", "final u", "final before", "d x", "d u", "d before", "d W.source", "d p.b")
    found, expected = (solve(p, "eager", T64) for p in (made, literal))
    agree([{k: found[k] for k in names}], [{k: expected[k] for k in names}], TOLERANCE["paper", T64])


def test_what_no_state_reaches_is_folded():
    """An equation without u_t has no sums for it."""
    from kernels.derive.plan import plan

    leaves = {n.label for n in plan(second_order(klein_gordon)).step.inputs}
    assert leaves >= {"u", "before", "lap_u"} and len(plan(second_order(klein_gordon)).vectors) == 2


def squared(u, rate, lap, p):
    return lap - p.b * rate * rate


def powered(u, rate, lap, p):
    return lap - rate**2


def swallowed(u, rate, lap, p):
    from cells.grammar.functions import tanh

    return lap - tanh(rate)


@pytest.mark.parametrize(
    ("equation", "message"),
    [
        (squared, r"squared: u_t is multiplied by u_t: .* \(File \".*test_field_equation.py\", line \d+\)"),
        (powered, "powered: a power of u_t"),
        (swallowed, "swallowed: tanh takes values, not a Rate"),
    ],
)
def test_not_linear_in_the_rate(equation, message):
    with pytest.raises(CellError, match=message):
        RNN(second_order(equation), 1, 4)

"""Computes the mean-field theory of wide recurrent cells: the growth of the mean squared singular value of a step's Jacobian, and the
time scale on which two sequences forget their initial difference.

A matrix of n columns has entries N(0, σ²/n), drawn anew for every step; inputs are standard normal. Then a pre-activation is N(0, q) for
each unit, and every nonlinear term is an integral over it. The theory of vanilla and MinimalRNN is that of Chen, Pennington &
Schoenholz, ICML 2018 (1806.05394). The same argument gives the GRU's, and the LSTM's in `bench.studies.signals.lstm_mean_field`. The
symbols are those of the papers:

    q   variance of a pre-activation      Q   mean square of a state h
    χ   growth of E‖∂L/∂h‖² per step      c*  correlation that two sequences tend to
    ξ   −1 / ln χ_{c*}: steps in which the distance of two sequences from that correlation falls by a factor of e
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import expit

from bench.studies.signals import lstm_mean_field
from bench.studies.signals.cfn_mean_field import CFNUnit

Array = NDArray[np.float64]

REACH = 9.0
"""The range of an integral in standard deviations; the rest is smaller than a rounding error."""
NODES = np.linspace(-REACH, REACH, 721)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
"""The trapezoidal rule, which converges exponentially for functions that are analytic in a strip (Trefethen & Weideman, SIAM Review
2014). The nearest poles, those of tanh(√q z) at π i / (2 √q), cause an error below 1e-14 up to q = 150."""


@dataclass(frozen=True)
class Point:
    """A point in the parameter space of a cell. Biases other than `mu` are 0.

    Attributes:
        w: σ of all matrices that multiply a state.
        v: σ of the matrices that multiply the input; in MinimalRNN, those that multiply Φ(x).
        mu: The bias of the gate that keeps the state: u, z of `gru`, or f.
        phi: σ of the matrix in Φ.
    """

    w: float
    v: float
    mu: float = 0.0
    phi: float = 1.0


@dataclass(frozen=True)
class MeanField:
    """The prediction of the theory at a point.

    Attributes:
        q: The variance of a pre-activation.
        Q: The mean square of a state h.
        chi: χ at c = 1, the growth of gradients per step.
        c: c*, the correlation that two sequences tend to.
        xi: ξ in steps; infinite if χ ≥ 1 at c*.
    """

    q: float
    Q: float
    chi: float
    c: float
    xi: float


def gaussian_mean(values: Array) -> float:
    """Returns the mean of a function of a standard normal number, from its values at NODES; an array of two axes is a function of two
    numbers."""
    while values.ndim:
        values = values @ WEIGHTS
    return float(values)


def sigmoid_slope(e: Array) -> Array:
    return expit(e) * expit(-e)


def tanh_slope(e: Array) -> Array:
    return 1 - np.tanh(e) ** 2


def timescale(chi: float) -> float:
    """Returns ξ = −1 / ln χ, infinite unless 0 < χ < 1."""
    return -1 / math.log(chi) if 0 < chi < 1 else math.inf


def find_root(f: Callable[[float], float], low: float, high: float) -> float:
    """Returns the point where f, positive at `low`, becomes negative; `high` if it stays positive."""
    return float(brentq(f, low, high, xtol=1e-14, rtol=1e-13)) if f(high) < 0 else high


def mean_over_pair(q: float, c: float, f: Callable[[Array], Array]) -> float:
    """Returns E f(a) f(b) for normal a and b of variance q and correlation c."""
    z = NODES[::4]  # 181 nodes a side are as good for what is squared and summed below
    weights = WEIGHTS[::4] / WEIGHTS[::4].sum()
    a = f(math.sqrt(q) * z)
    b = f(math.sqrt(q) * (c * z[:, None] + math.sqrt(max(0.0, 1 - c * c)) * z))
    return float(weights @ (a[:, None] * b) @ weights)


def vanilla(point: Point, similar: float = 1.0) -> MeanField:
    """Returns the theory of h = tanh(W h + V x).

    Args:
        point: The point in parameter space.
        similar: The correlation of the two sequences' inputs, Σ in the paper.
    """
    w, v = point.w**2, point.v**2
    q = find_root(lambda q: w * gaussian_mean(np.tanh(math.sqrt(q) * NODES) ** 2) + v - q, 0.0 if v else 1e-12, w + v)
    chi = w * gaussian_mean(tanh_slope(math.sqrt(q) * NODES) ** 2)
    if similar == 1 and chi <= 1:
        c = 1.0
    else:
        c = find_root(lambda c: (w * mean_over_pair(q, c, np.tanh) + v * similar) / q - c, 0.0, 1 - 1e-9)
    return MeanField(q, (q - v) / w, chi, c, timescale(w * mean_over_pair(q, c, tanh_slope)))


def minimal(point: Point, similar: float = 1.0, depth: int = 1) -> MeanField:
    """Returns the theory of MinimalRNN: e = W h + V z + μ, u = σ(e), h = u h + (1 − u) z with z = Φ(x).

    Args:
        point: The point in parameter space.
        similar: The correlation of the two sequences' z.
        depth: The layers of Φ, tanh of a product each.
    """
    w, v, R = point.w**2, point.v**2, 1.0
    for _ in range(depth):
        R = gaussian_mean(np.tanh(point.phi * math.sqrt(R) * NODES) ** 2)

    def next_Q(Q: float) -> float:
        u = expit(point.mu + math.sqrt(w * Q + v * R) * NODES)
        return R * gaussian_mean((1 - u) ** 2) / (1 - gaussian_mean(u**2))

    Q = find_root(lambda Q: next_Q(Q) - Q, 0.0, R)
    q = w * Q + v * R
    e = point.mu + math.sqrt(q) * NODES
    chi = gaussian_mean(expit(e) ** 2) + w * (Q + R) * gaussian_mean(sigmoid_slope(e) ** 2)

    def mean_product(C: float, f: Callable[[Array], Array]) -> float:
        return mean_over_pair(q, min(1.0, (w * C + v * R * similar) / q), lambda a: f(point.mu + a))

    def excess(C: float) -> float:
        return mean_product(C, expit) * C + R * similar * mean_product(C, lambda e: expit(-e)) - C

    C = Q if similar == 1 and chi <= 1 else find_root(excess, 0.0, Q * (1 - 1e-9))
    return MeanField(q, Q, chi, C / Q, timescale(mean_product(C, expit) + w * (C + R * similar) * mean_product(C, sigmoid_slope)))


def gru_reset_before(point: Point) -> MeanField:
    """Returns the theory of h = u h + (1 − u) g with g = tanh(V x + W (r h)): the reset gate acts before the product.

    Args:
        point: The point in parameter space.
    """
    w, v = point.w**2, point.v**2

    def gates(Q: float) -> tuple[Array, Array, Array]:
        gate = math.sqrt(w * Q + v) * NODES
        return point.mu + gate, gate, math.sqrt(v + w * Q * gaussian_mean(expit(gate) ** 2)) * NODES

    def next_Q(Q: float) -> float:
        u, _, g = gates(Q)
        return gaussian_mean(expit(-u) ** 2) * gaussian_mean(np.tanh(g) ** 2) / (1 - gaussian_mean(expit(u) ** 2))

    Q = find_root(lambda Q: next_Q(Q) - Q, 0.0, 1.0)
    u, r, g = gates(Q)
    through = gaussian_mean(expit(r) ** 2) + w * Q * gaussian_mean(sigmoid_slope(r) ** 2)
    keep = gaussian_mean(expit(u) ** 2) + w * (Q + gaussian_mean(np.tanh(g) ** 2)) * gaussian_mean(sigmoid_slope(u) ** 2)
    chi = keep + w * gaussian_mean(expit(-u) ** 2) * gaussian_mean(tanh_slope(g) ** 2) * through
    return MeanField(w * Q + v, Q, chi, 1.0, timescale(chi))


def gru(point: Point) -> MeanField:
    """Returns the theory of h = z h + (1 − z) n with n = tanh(V x + r a), a = W h: the reset gate acts after the product, as in torch.

    Given r, the sum s = V x + r a and a are jointly normal, so that E[a² | s] is known and two integrals remain.

    Args:
        point: The point in parameter space.
    """
    w, v = point.w**2, point.v**2

    def laws(Q: float) -> tuple[Array, Array, Array, Array]:
        gate = math.sqrt(w * Q + v) * NODES
        variance = v + expit(gate) ** 2 * w * Q
        return point.mu + gate, gate, variance, np.sqrt(variance)[:, None] * NODES

    def next_Q(Q: float) -> float:
        z, _, _, s = laws(Q)
        return gaussian_mean(expit(-z) ** 2) * gaussian_mean(np.tanh(s) ** 2) / (1 - gaussian_mean(expit(z) ** 2))

    Q = find_root(lambda Q: next_Q(Q) - Q, 0.0, 1.0)
    z, r, variance, s = laws(Q)
    shared = (expit(r) * w * Q)[:, None] / variance[:, None]
    a_squared = (shared * s) ** 2 + w * Q - shared**2 * variance[:, None]
    inner = gaussian_mean(tanh_slope(s) ** 2 * (expit(r)[:, None] ** 2 + sigmoid_slope(r)[:, None] ** 2 * a_squared))
    keep = gaussian_mean(expit(z) ** 2) + w * (Q + gaussian_mean(np.tanh(s) ** 2)) * gaussian_mean(sigmoid_slope(z) ** 2)
    chi = keep + w * gaussian_mean(expit(-z) ** 2) * inner
    return MeanField(w * Q + v, Q, chi, 1.0, timescale(chi))


def lstm(point: Point) -> MeanField:
    """Returns the theory of c = f c + i g, h = o tanh(c), from the stationary law of one unit's c.

    Args:
        point: The point in parameter space.
    """
    w, v = point.w**2, point.v**2

    def unit(Q: float) -> lstm_mean_field.Unit:
        return lstm_mean_field.Unit(math.sqrt(w * Q + v), point.mu)

    Q = find_root(lambda Q: unit(Q).output() - Q, 0.0, 1.0)
    chi = unit(Q).growth(w)
    return MeanField(w * Q + v, Q, chi, 1.0, timescale(chi))


def cfn(point: Point) -> MeanField:
    """Returns the theory of h = θ tanh(h) + η tanh(V x), from the stationary law of one unit's h.

    Args:
        point: The point in parameter space.
    """
    w, v = point.w**2, point.v**2

    def unit(Q: float) -> CFNUnit:
        return CFNUnit(math.sqrt(w * Q + v), point.mu, point.v)

    Q = find_root(lambda Q: unit(Q).output() - Q, 0.0, 4.0)
    chi = unit(Q).growth(w)
    return MeanField(w * Q + v, Q, chi, 1.0, timescale(chi))


CELLS: Mapping[str, Callable[[Point], MeanField]] = {
    "vanilla": vanilla, "minimal": minimal, "minimal_deep": partial(minimal, depth=2), "cfn": cfn, "gru_reset_before": gru_reset_before,
    "gru": gru, "lstm": lstm,
}  # fmt: skip
"""The cells that have a theory, with the function that computes it."""

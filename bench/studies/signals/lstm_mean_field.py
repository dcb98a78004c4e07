"""The stationary law of one LSTM unit's memory c, and what a perturbation becomes in it.

In mean-field theory the gates of a unit are drawn anew in each step, i, f and o as σ and g as tanh of normal numbers of one variance,
so that c' = f c + i g is a Markov chain of one number. Its law p is found on a grid. Beside it stands m: m(c) is the mean square of
a perturbation in units whose memory is c, times p(c). The product of the two means would not do: a unit that has forgotten little
holds both a large c and much of a perturbation.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.signal import fftconvolve
from scipy.sparse import coo_array, csr_array
from scipy.sparse.linalg import LinearOperator, eigs
from scipy.special import expit

Array = NDArray[np.float64]

NODES = np.linspace(-8.0, 8.0, 161)
WEIGHTS = np.exp(-(NODES**2) / 2) / np.exp(-(NODES**2) / 2).sum()
"""The trapezoidal rule over a standard normal number, as in `bench.studies.signals.mean_field`; here the grid sets the error."""
POINTS = 801
REACH = 10.0
"""The grid: so many points over ± so many standard deviations of c."""


@dataclass(frozen=True)
class Unit:
    """One unit. Its pre-activations are N(0, deviation²), that of f with the mean `mu`."""

    deviation: float
    mu: float

    @cached_property
    def gate(self) -> Array:
        """i and o at NODES."""
        return expit(self.deviation * NODES)

    @cached_property
    def candidate(self) -> Array:
        """g at NODES."""
        return np.tanh(self.deviation * NODES)

    @cached_property
    def forget(self) -> Array:
        """f at NODES."""
        return expit(self.mu + self.deviation * NODES)

    @cached_property
    def grid(self) -> Array:
        """Values of c: its variance is E i² E g² / (1 - E f²)."""
        variance = (self.gate**2 @ WEIGHTS) * (self.candidate**2 @ WEIGHTS) / (1 - self.forget**2 @ WEIGHTS)
        return np.linspace(-REACH, REACH, POINTS) * np.sqrt(variance)

    def shrink(self, weight: Array) -> csr_array:
        """The matrix that takes a measure of c to that of f c, each f with its weight."""
        to, share = self.deal_to_grid(np.multiply.outer(self.forget, self.grid))
        source = np.broadcast_to(np.arange(POINTS), to.shape)
        values = share * (weight * WEIGHTS)[:, None]
        return coo_array((values.ravel(), (to.ravel(), source.ravel())), shape=(POINTS, POINTS)).tocsr()

    def increment(self, i: Array, g: Array) -> Array:
        """The measure of i g, each i and g with its weight."""
        to, share = self.deal_to_grid(np.multiply.outer(self.gate, self.candidate))
        weights = share * np.multiply.outer(i * WEIGHTS, g * WEIGHTS)
        return np.bincount(to.ravel(), weights.ravel(), POINTS).astype(np.float64)

    def deal_to_grid(self, values: Array) -> tuple[NDArray[np.intp], Array]:
        """Grid points and shares for each of `values`, along a new first axis: the three nearest points, so that mass, mean and
        variance stay what they are."""
        place = (values - self.grid[0]) / (self.grid[1] - self.grid[0])
        nearest = np.clip(np.rint(place), 1, POINTS - 2)
        d = np.clip(place - nearest, -1, 1)
        index = nearest.astype(np.intp)
        return np.stack([index - 1, index, index + 1]), np.stack([d * (d - 1) / 2, 1 - d * d, d * (d + 1) / 2])

    @cached_property
    def steps(self) -> tuple[csr_array, Array]:
        one = np.ones_like(NODES)
        return self.shrink(one), self.increment(one, one)

    @cached_property
    def law(self) -> Array:
        """p on the grid: what a step leaves as it is."""
        move, add = self.steps
        start = np.exp(-((self.grid / self.grid[-1] * REACH) ** 2) / 2)
        _, found = leading_eigenvalue(lambda p: convolve(move @ p, add), start)
        return found / found.sum()

    def output(self) -> float:
        """E h² = E o² E tanh²(c)."""
        return float((self.gate**2 @ WEIGHTS) * (np.tanh(self.grid) ** 2 @ self.law))

    def growth(self, w: float) -> float:
        """χ: growth a step of the mean square of a perturbation of h and c, `w` being σ² of the matrices that h meets.

        δc' = f δc + c δf + g δi + i δg and δh' = o sech²(c') δc' + tanh(c') δo, where the δ of a gate is its slope times an independent
        normal number of variance w E δh²; so (m, E δh²) is taken to itself linearly, and χ is the leading eigenvalue.
        """
        gate, g, f = self.gate, self.candidate, self.forget
        slope = gate * (1 - gate)
        kept, forgotten = self.shrink(f**2), self.shrink((f * (1 - f)) ** 2)
        move, add = self.steps
        moved = move @ self.law
        source = convolve(forgotten @ (self.grid**2 * self.law), add)
        source += convolve(moved, self.increment(slope**2, g**2)) + convolve(moved, self.increment(gate**2, (1 - g * g) ** 2))
        through = (gate**2 @ WEIGHTS) / np.cosh(self.grid) ** 4
        own = w * (slope**2 @ WEIGHTS) * (np.tanh(self.grid) ** 2 @ self.law)

        def step(given: Array) -> Array:
            m = convolve(kept @ given[:-1], add) + w * given[-1] * source
            return np.append(m, through @ m + own * given[-1])

        value, _ = leading_eigenvalue(step, np.append(self.law, 1.0))
        return value


def convolve(measure: Array, added: Array) -> Array:
    """The measure of a sum of independent numbers."""
    return fftconvolve(measure, added, mode="same")


def leading_eigenvalue(step: Callable[[Array], Array], start: Array) -> tuple[float, Array]:
    """The largest eigenvalue of a map that keeps measures positive, and its eigenvector."""
    operator = LinearOperator((len(start), len(start)), matvec=step, dtype=np.float64)
    values, vectors = eigs(operator, k=1, which="LM", v0=start)
    return float(values[0].real), np.real(vectors[:, 0] / vectors[np.argmax(np.abs(vectors[:, 0])), 0])

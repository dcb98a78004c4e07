"""Computes the stationary law of an LSTM unit's memory c, and the growth of a perturbation in it, by mean-field theory.

In mean-field theory, the gates of a unit are independent in every step: i, f and o are σ, and g is tanh, of normal numbers of one
variance. So c' = f c + i g is a Markov chain of one number. Its law p is computed on a grid, and with it a measure m: m(c) is p(c) times
the mean square of a perturbation in units with memory c. The product of the two means would be wrong: a unit that has forgotten little
has both a large c and a large perturbation.
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
"""The trapezoidal rule for a standard normal number, as in `bench.studies.signals.mean_field`; here the grid determines the error."""
POINTS = 801
REACH = 10.0
"""The grid of c: its number of points, and its half-width in standard deviations of c."""


@dataclass(frozen=True)
class Unit:
    """One unit of an LSTM in mean-field theory.

    Attributes:
        deviation: The standard deviation of its pre-activations.
        mu: The mean of the forget gate's pre-activation; the other means are 0.
    """

    deviation: float
    mu: float

    @cached_property
    def gate(self) -> Array:
        """Returns the values of i and o at NODES."""
        return expit(self.deviation * NODES)

    @cached_property
    def candidate(self) -> Array:
        """Returns the values of g at NODES."""
        return np.tanh(self.deviation * NODES)

    @cached_property
    def forget(self) -> Array:
        """Returns the values of f at NODES."""
        return expit(self.mu + self.deviation * NODES)

    @cached_property
    def grid(self) -> Array:
        """Returns the values of c on the grid; the variance of c is E i² E g² / (1 - E f²)."""
        variance = (self.gate**2 @ WEIGHTS) * (self.candidate**2 @ WEIGHTS) / (1 - self.forget**2 @ WEIGHTS)
        return np.linspace(-REACH, REACH, POINTS) * np.sqrt(variance)

    @property
    def remembered(self) -> Array:
        """Returns what f multiplies at each point of the grid: c itself."""
        return self.grid

    def shrink(self, weight: Array) -> csr_array:
        """Returns the matrix (POINTS, POINTS) that maps a measure of c to that of f times what it remembers, with a weight for each f."""
        to, share = self.deal_to_grid(np.multiply.outer(self.forget, self.remembered))
        source = np.broadcast_to(np.arange(POINTS), to.shape)
        values = share * (weight * WEIGHTS)[:, None]
        return coo_array((values.ravel(), (to.ravel(), source.ravel())), shape=(POINTS, POINTS)).tocsr()

    def increment(self, i: Array, g: Array) -> Array:
        """Returns the measure of i g on the grid, with weights for each i and g."""
        to, share = self.deal_to_grid(np.multiply.outer(self.gate, self.candidate))
        weights = share * np.multiply.outer(i * WEIGHTS, g * WEIGHTS)
        return np.bincount(to.ravel(), weights.ravel(), POINTS).astype(np.float64)

    def deal_to_grid(self, values: Array) -> tuple[NDArray[np.intp], Array]:
        """Distributes values to the grid so that mass, mean and variance are preserved.

        Args:
            values: The values.

        Returns:
            The indices and the shares of the three nearest points, along a new first axis.
        """
        place = (values - self.grid[0]) / (self.grid[1] - self.grid[0])
        nearest = np.clip(np.rint(place), 1, POINTS - 2)
        d = np.clip(place - nearest, -1, 1)
        index = nearest.astype(np.intp)
        return np.stack([index - 1, index, index + 1]), np.stack([d * (d - 1) / 2, 1 - d * d, d * (d + 1) / 2])

    @cached_property
    def steps(self) -> tuple[csr_array, Array]:
        """Returns the matrix of c → f c and the measure of i g, which together make one time step."""
        one = np.ones_like(NODES)
        return self.shrink(one), self.increment(one, one)

    @cached_property
    def law(self) -> Array:
        """Returns p on the grid: the law that a time step leaves unchanged."""
        move, add = self.steps
        start = np.exp(-((self.grid / self.grid[-1] * REACH) ** 2) / 2)
        _, found = leading_eigenvalue(lambda p: convolve(move @ p, add), start)
        return found / found.sum()

    def output(self) -> float:
        """Returns E h² = E o² E tanh²(c)."""
        return float((self.gate**2 @ WEIGHTS) * (np.tanh(self.grid) ** 2 @ self.law))

    def growth(self, w: float) -> float:
        """Returns χ, the growth per step of the mean square of a perturbation of h and c.

        δc' = f δc + c δf + g δi + i δg and δh' = o sech²(c') δc' + tanh(c') δo, where the δ of a gate is its slope times an independent
        normal number of variance w E δh². So a step maps (m, E δh²) linearly, and χ is the leading eigenvalue.

        Args:
            w: σ² of the matrices that multiply h.
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
    """Returns the measure of a sum of independent numbers."""
    return fftconvolve(measure, added, mode="same")


def leading_eigenvalue(step: Callable[[Array], Array], start: Array) -> tuple[float, Array]:
    """Returns the largest eigenvalue of a linear map that keeps measures positive, and its eigenvector."""
    operator = LinearOperator((len(start), len(start)), matvec=step, dtype=np.float64)
    values, vectors = eigs(operator, k=1, which="LM", v0=start)
    return float(values[0].real), np.real(vectors[:, 0] / vectors[np.argmax(np.abs(vectors[:, 0])), 0])

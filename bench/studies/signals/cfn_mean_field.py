"""Computes the stationary law of a CFN unit's state h, and the growth of a perturbation in it, by mean-field theory.

h' = θ tanh(h) + η tanh(W x) is a Markov chain of one number, as an LSTM's memory is: θ and η are σ of independent normal numbers of one
variance, and tanh(W x) depends on the input alone. So the law and the perturbation are computed on the same grid.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.studies.signals.lstm_mean_field import NODES, Array, Unit, convolve, leading_eigenvalue


@dataclass(frozen=True)
class CFNUnit(Unit):
    """One unit of a CFN in mean-field theory. `forget` is θ, `gate` is η, and `mu` the mean of θ's pre-activation.

    Attributes:
        drive: The standard deviation of W x.
    """

    drive: float

    @cached_property
    def candidate(self) -> Array:
        return np.tanh(self.drive * NODES)

    @property
    def remembered(self) -> Array:
        return np.tanh(self.grid)

    def output(self) -> float:
        return float(self.grid**2 @ self.law)

    def growth(self, w: float) -> float:
        """Returns χ. δh' = θ sech²(h) δh + tanh(h) δθ + tanh(W x) δη, where the δ of a gate is its slope times an independent normal
        number of variance w E δh².

        Args:
            w: σ² of the matrices that multiply h.
        """
        slope, f = self.gate * (1 - self.gate), self.forget
        kept, forgotten = self.shrink(f**2), self.shrink((f * (1 - f)) ** 2)
        move, add = self.steps
        source = convolve(forgotten @ (self.remembered**2 * self.law), add)
        source += convolve(move @ self.law, self.increment(slope**2, self.candidate**2))
        value, _ = leading_eigenvalue(lambda m: convolve(kept @ (m / np.cosh(self.grid) ** 4), add) + w * m.sum() * source, self.law)
        return value

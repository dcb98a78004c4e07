"""Laws that learned values are drawn from, beside a constant and U(low, high): matrices with entries of variance gain²/fan-in, orthogonal
ones (of a block-diagonal matrix, each block), and biases of gates that remember for a while.

Each fills a tensor in place from torch's global generator. Those of matrices raise IndexError for a vector, which has no fan-in.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normal:
    """N(0, gain²/n) for a matrix (m, n): what mean-field theory calls σ_w is its gain."""

    gain: float

    def __call__(self, matrix: Tensor) -> None:
        matrix.normal_(0.0, self.gain / math.sqrt(matrix[0].shape[-1]))


@dataclass(frozen=True)
class Orthogonal:
    """A random orthogonal matrix times `gain`; where it isn't square, its longer side has the orthonormal vectors."""

    gain: float

    def __call__(self, matrix: Tensor) -> None:
        for block in matrix if matrix.dim() == 3 else [matrix]:
            drawn = torch.nn.init.orthogonal_(torch.empty(block.shape, dtype=torch.float64), self.gain)
            block.copy_(drawn)  # there is no QR in 16 bit, nor needs one be on the device


@dataclass(frozen=True)
class Chrono:
    """log U(1, T - 1) for the bias of a forget gate: such a unit remembers for about as many steps as that was drawn, at most `T` of
    the longest sequence. Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018 (1804.11188)."""

    T: int

    def __call__(self, vector: Tensor) -> None:
        vector.uniform_(1.0, self.T - 1.0).log_()

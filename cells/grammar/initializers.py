"""Initializers of parameters, besides a constant and U(low, high): normal matrices scaled by fan-in, orthogonal matrices (each block of a
block-diagonal one), and the chrono initialization of gate biases.

Each fills a tensor in place from torch's global generator. Those of matrices raise IndexError for a vector, which has no fan-in.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Normal:
    """Fills a matrix (m, n) from N(0, gain²/n); mean-field theory calls the gain σ_w."""

    gain: float

    def __call__(self, matrix: Tensor) -> None:
        matrix.normal_(0.0, self.gain / math.sqrt(matrix[0].shape[-1]))


@dataclass(frozen=True)
class Orthogonal:
    """Fills a matrix with a random orthogonal one times `gain`; of rows and columns, the fewer are orthonormal before scaling."""

    gain: float

    def __call__(self, matrix: Tensor) -> None:
        for block in matrix if matrix.dim() == 3 else [matrix]:
            drawn = torch.nn.init.orthogonal_(torch.empty(block.shape, dtype=torch.float64), self.gain)
            block.copy_(drawn)  # drawn in float64 on the CPU, since there is no QR in 16 bit


@dataclass(frozen=True)
class Chrono:
    """Fills the bias of a forget gate with log U(1, T - 1): memory times of about 1 to T steps, T the longest sequence.

    Tallec & Ollivier, "Can recurrent neural networks warp time?", ICLR 2018 (1804.11188).
    """

    T: int

    def __call__(self, vector: Tensor) -> None:
        vector.uniform_(1.0, self.T - 1.0).log_()

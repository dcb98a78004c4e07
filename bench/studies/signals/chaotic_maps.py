"""Defines the two chaotic maps of Laurent & von Brecht, "A recurrent neural network without chaos", ICLR 2017 (1612.06212), section 2:
an LSTM and a GRU of two units, without input or biases, with the weights printed there.

The LSTM's weights are those of the version at OpenReview. The paper's GRU resets before the product and multiplies the candidate by z.
`gru_reset_before` multiplies the old state by u = 1 - z instead, so W_u is their -A_z.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from kernels import RNN

Matrix = list[list[float]]


@dataclass(frozen=True)
class ChaoticMap:
    """A cell of two units with given weights.

    Attributes:
        name: The name in reports.
        cell: The cell's name.
        weights: The recurrent matrices (2, 2), by their names in the cell.
    """

    name: str
    cell: str
    weights: dict[str, Matrix]

    def make_layer(self, backend: str = "auto", device: str = "cpu") -> RNN:
        """Returns the map as a float64 layer; the weights of its one input are zero."""
        rnn = RNN(self.cell, 1, 2, bias=False, backend=backend, device=device, dtype=torch.float64)
        zeros = {name: torch.zeros_like(value) for name, value in rnn.weights().items()}
        rnn.set_weights(zeros | {name: torch.tensor(matrix, dtype=torch.float64) for name, matrix in self.weights.items()})
        return rnn

    def draw_states(self, starts: int, generator: torch.Generator) -> list[Tensor]:
        """Returns initial states (starts, 2), each uniform in the unit square."""
        count = 2 if self.cell == "lstm" else 1
        return [torch.rand(starts, 2, generator=generator, dtype=torch.float64) for _ in range(count)]


MAPS = (
    ChaoticMap("LSTM map", "lstm", {
        "W.ih": [[-10, -10], [10, 10]], "W.fh": [[-10, -10], [10, 10]], "W.gh": [[10, -80], [80, -10]], "W.oh": [[10, -10], [10, -10]],
    }),
    ChaoticMap("GRU map", "gru_reset_before", {
        "W.rh": [[0, 1], [1, 0]], "W.uh": [[0, -1], [-1, -1]], "W.nh": [[-5, -8], [8, 5]],
    }),
)  # fmt: skip

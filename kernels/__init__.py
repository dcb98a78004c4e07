"""Fused kernels, forward and backward, derived from a cell's equations.

    from kernels import RNN
    layer = RNN("minimal", input_size=64, hidden_size=256)
    y, h = layer(x)          # x (T, B, 64) → y (T, B, 256), h (1, B, 256)

`LSTM` and `GRU` have the arguments of nn.LSTM and nn.GRU. `from_torch` and `to_torch` exchange weights with nn.RNN, nn.LSTM and nn.GRU.
"""

from kernels.layer.rnn import RNN
from kernels.layer.torch_layers import GRU, LSTM
from kernels.layer.torch_weights import from_torch, to_torch

__all__ = ["GRU", "LSTM", "RNN", "from_torch", "to_torch"]

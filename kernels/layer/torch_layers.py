"""`LSTM` and `GRU`: `RNN` with the arguments of nn.LSTM and nn.GRU, to import in their place."""

from typing import Any

from kernels.layer.rnn import RNN


class LSTM(RNN):
    """Applies an LSTM: nn.LSTM's arguments, then those of `RNN`."""

    def __init__(self, input_size: int, hidden_size: int, *arguments: Any, **options: Any):
        super().__init__("lstm", input_size, hidden_size, *arguments, **options)


class GRU(RNN):
    """Applies a GRU: nn.GRU's arguments, then those of `RNN`."""

    def __init__(self, input_size: int, hidden_size: int, *arguments: Any, **options: Any):
        super().__init__("gru", input_size, hidden_size, *arguments, **options)

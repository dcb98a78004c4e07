"""Copies weights between nn.RNN, nn.LSTM or nn.GRU and the matching cells."""

import torch
from torch import nn

import cells
from kernels.layer.rnn import RNN


def from_torch(module: nn.RNNBase, backend: str = "auto") -> RNN:
    """Makes an `RNN` that computes what `module` does, with a copy of its weights.

    Args:
        module: an nn.RNN, nn.LSTM or nn.GRU.
        backend: as in `RNN`.

    Raises:
        TypeError: no cell computes what `module` does.
        ValueError: the module has a `proj_size`.
    """
    if getattr(module, "proj_size", 0):
        raise ValueError("proj_size is not supported: a cell's states have one width. Put an nn.Linear behind the layer instead")
    for name in cells.names():
        equivalent = cells.load(name).torch_equivalent
        if (
            equivalent
            and type(module).__name__ == equivalent.module
            and all(getattr(module, k) == v for k, v in equivalent.options.items())
        ):
            break
    else:
        raise TypeError(f"no cell computes what {module} does")
    weight = next(module.parameters())
    rnn = RNN(
        name, module.input_size, module.hidden_size, module.num_layers, module.bias, module.batch_first,
        module.dropout, module.bidirectional, backend=backend, device=weight.device, dtype=weight.dtype,
    )  # fmt: skip
    copy_parameters(module, rnn)
    return rnn


def to_torch(rnn: RNN) -> nn.RNNBase:
    """Makes the torch.nn module that computes what `rnn` does, with a copy of its weights.

    Raises:
        TypeError: torch.nn has no such module.
    """
    equivalent = rnn.cell.torch_equivalent
    if equivalent is None:
        raise TypeError(f"torch.nn has no module that computes {rnn.cell.name}")
    weight = next(rnn.parameters())
    module = equivalent.build(
        rnn.input_size, rnn.hidden_size, num_layers=rnn.num_layers, bias=rnn.bias, batch_first=rnn.batch_first,
        dropout=rnn.dropout, bidirectional=rnn.bidirectional, device=weight.device, dtype=weight.dtype,
    )  # fmt: skip
    copy_parameters(rnn, module)
    return module


def copy_parameters(source: nn.Module, target: nn.Module) -> None:
    """Copies every parameter of a layer from one of the same names, whatever computes it there, and the training mode."""
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            parameter.copy_(getattr(source, name))
    target.train(source.training)

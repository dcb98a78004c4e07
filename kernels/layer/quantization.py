"""Matrices of 8 bits: every row on a grid of 255 values, from -127 to 127 times the row's scale.

A quantized layer keeps its matrices in float32, on the grid, so its state dict, its copies and every backend are those of any other layer
and give the same results. On a CPU, calls without gradients read them as int8 (`kernels/schedules/cpu/storage.h`), a quarter of the bytes.
"""

import copy
from typing import TypeVar

import torch
from torch import Tensor, nn

Layer = TypeVar("Layer", bound=nn.Module)

LARGEST = 127
"""The largest number of the grid, which has the row's largest value."""


def quantize(layer: Layer) -> Layer:
    """Returns a copy of a layer for inference, with its matrices rounded to the grid. See `RNN.quantize`."""
    wrong = next((name for name, p in layer.named_parameters() if p.dtype != torch.float32), None)
    if wrong:
        raise ValueError(f"only a layer in float32 can be quantized, and {wrong} is not: convert it, layer.float().quantize()")
    found = copy.deepcopy(layer).requires_grad_(False).eval()
    found.is_quantized = True  # type: ignore[assignment]
    for parameter in found.parameters():
        if parameter.dim() > 1:
            parameter.copy_(round_to_grid(parameter))
    return found


def round_to_grid(matrix: Tensor) -> Tensor:
    """Returns a matrix (…, N, K) with every row rounded to its grid; a row with an inf or a NaN stays as it is."""
    scale = matrix.abs().amax(-1, keepdim=True) / LARGEST
    return torch.where(scale.isfinite() & (scale > 0), (matrix / scale).round() * scale, matrix)

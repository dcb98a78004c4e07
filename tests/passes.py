"""Passes of cells, as the tests of tile configurations take them."""

import torch

import cells
from kernels.derive.plan import plan
from kernels.schedules.persistent.tiling import Pass

HALF = torch.bfloat16


def work(cell: str, direction: str = "forward", B: int = 16, H: int = 512, dtype: torch.dtype = HALF) -> Pass:
    """The pass of a cell, in the dtype that most run."""
    return Pass(plan(cells.load(cell)), direction, B, H, dtype)

"""The study of iterations: when it stops to count."""

import torch

from bench.measure.problem import Problem
from bench.studies.signals.time_parallel import measure_iterations
from cells.grammar.cell import Cell
from cells.grammar.functions import tanh


def drifting(h, x, W):
    """A residual of a few units in the last place adds up over a thousand steps."""
    return 0.999 * h + tanh(W.h(h) + W.x(x)) / 50


def test_iterations_are_counted_until_the_error_is_small():
    """And not until the residual is, which comes first here."""
    given = Problem("drifting", Cell(drifting), 800, 1, 3, 8, torch.float32, torch.device("cpu"), 0)
    assert None not in measure_iterations(given, "default", full=False).states

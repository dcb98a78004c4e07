"""Measures the Jacobian of a layer's last output with respect to earlier inputs, on a sequence of the task that it is trained on.

Chen, Pennington & Schoenholz, ICML 2018 (1806.05394), show it before, during and after training.
"""

import math

import torch
from torch import Tensor

from bench.records.training_record import InputJacobian
from bench.studies.signals.chunked_vjp import ChunkedVJP, octave_lags
from bench.studies.signals.jacobians import PROBES, ROWS
from kernels import RNN


def measure_input_jacobian(rnn: RNN, x: Tensor, step: int) -> InputJacobian:
    """Measures ∂h_T/∂x_{T-k} along the first sequence, from the initial states that the layer has by default.

    A batch has a copy of the sequence for each row of the Jacobian; of a layer with more than ROWS units, for each of PROBES random
    combinations of rows, which give the mean square alone.

    Args:
        rnn: The layer.
        x: Inputs (T, B, D).
        step: The number of training steps so far, which the record stores.
    """
    H = rnn.hidden_size
    rows = torch.eye(H) if H <= ROWS else torch.randn(PROBES, H, generator=torch.Generator().manual_seed(0))
    copies = x[:, :1].detach().expand(-1, len(rows), -1).contiguous()
    states = rnn.cell.initial(copies, len(rows), H)
    upstream = [rows.to(copies), *(torch.zeros_like(state) for state in states[1:])]
    lags = octave_lags(len(x))
    links = ChunkedVJP(rnn, copies, states, upstream, lags).pull_back()
    found = [link.input.double() for link in links if link.input is not None]
    squares = [g.square().sum().item() / min(H, x.shape[2]) / (1 if H <= ROWS else len(rows)) for g in found]
    largest = [torch.linalg.matrix_norm(g, 2).item() if g.isfinite().all() else math.inf for g in found] if H <= ROWS else []
    return InputJacobian(step=step, lags=lags[:-1], mean_square=squares, largest=largest)

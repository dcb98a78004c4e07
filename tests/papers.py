"""The papers' recurrences as they print them, weight names and all: explicit torch code that shares nothing with `cells`.

Each takes the inputs x (T, B, D), the initial state (or states) and the paper's own weights, and returns the outputs (T, B, H).
"""

import torch
from torch import Tensor

sigma = torch.sigmoid


def minimal_rnn(x: Tensor, h: Tensor, W_x: Tensor, b_z: Tensor, U_h: Tensor, U_z: Tensor, b_u: Tensor) -> Tensor:
    """Chen 2017 (1711.06788), with Φ one fully connected layer."""
    outputs = []
    for t in range(len(x)):
        z = torch.tanh(x[t] @ W_x.T + b_z)
        u = sigma(h @ U_h.T + z @ U_z.T + b_u)
        h = u * h + (1 - u) * z
        outputs.append(h)
    return torch.stack(outputs)


def minimal_rnn_deep(
    x: Tensor, h: Tensor, W_1: Tensor, b_1: Tensor, W_2: Tensor, b_2: Tensor, U_h: Tensor, U_z: Tensor, b_u: Tensor
) -> Tensor:
    """Chen 2017, with Φ of two fully connected layers."""
    outputs = []
    for t in range(len(x)):
        z = torch.tanh(torch.tanh(x[t] @ W_1.T + b_1) @ W_2.T + b_2)
        u = sigma(h @ U_h.T + z @ U_z.T + b_u)
        h = u * h + (1 - u) * z
        outputs.append(h)
    return torch.stack(outputs)


def chaos_free(
    x: Tensor, h: Tensor, U_theta: Tensor, V_theta: Tensor, b_theta: Tensor, U_eta: Tensor, V_eta: Tensor, b_eta: Tensor, W: Tensor
) -> Tensor:
    """Laurent & von Brecht 2017 (1612.06212), eq. 1 and 2: no bias inside the input's tanh."""
    outputs = []
    for t in range(len(x)):
        theta = sigma(h @ U_theta.T + x[t] @ V_theta.T + b_theta)
        eta = sigma(h @ U_eta.T + x[t] @ V_eta.T + b_eta)
        h = theta * torch.tanh(h) + eta * torch.tanh(x[t] @ W.T)
        outputs.append(h)
    return torch.stack(outputs)


def gated_recurrent_unit(
    x: Tensor, h: Tensor, W_u: Tensor, U_u: Tensor, b_u: Tensor, W_r: Tensor, U_r: Tensor, b_r: Tensor,
    W_x: Tensor, W_h: Tensor, b_h: Tensor,
) -> Tensor:  # fmt: skip
    """As Chen 2017 writes it: u multiplies the old state, the reset gate is applied before the product."""
    outputs = []
    for t in range(len(x)):
        u = sigma(x[t] @ W_u.T + h @ U_u.T + b_u)
        r = sigma(x[t] @ W_r.T + h @ U_r.T + b_r)
        h = u * h + (1 - u) * torch.tanh((r * h) @ W_h.T + x[t] @ W_x.T + b_h)
        outputs.append(h)
    return torch.stack(outputs)


def long_short_term_memory(
    x: Tensor, h: Tensor, c: Tensor, W_i: Tensor, U_i: Tensor, b_i: Tensor, W_f: Tensor, U_f: Tensor, b_f: Tensor,
    W_o: Tensor, U_o: Tensor, b_o: Tensor, W_g: Tensor, U_g: Tensor, b_g: Tensor,
) -> Tensor:  # fmt: skip
    """Hochreiter & Schmidhuber 1997 with the forget gate of Gers et al. 2000, without peepholes."""
    outputs = []
    for t in range(len(x)):
        i = sigma(x[t] @ W_i.T + h @ U_i.T + b_i)
        f = sigma(x[t] @ W_f.T + h @ U_f.T + b_f)
        o = sigma(x[t] @ W_o.T + h @ U_o.T + b_o)
        g = torch.tanh(x[t] @ W_g.T + h @ U_g.T + b_g)
        c = f * c + i * g
        h = o * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)

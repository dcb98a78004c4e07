"""The papers' recurrences as they print them, weight names and all: explicit torch code that shares nothing with `cells`.

Each takes the inputs x (T, B, D), the initial state (or states) and the paper's own weights, and returns the outputs (T, B, H).
"""

import torch
import torch.nn.functional as F
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


def update_gate_rnn(x: Tensor, h: Tensor, W_ch: Tensor, W_cx: Tensor, b_c: Tensor, W_gh: Tensor, W_gx: Tensor, b_g: Tensor) -> Tensor:
    """Collins et al. 2017 (1611.09913), the update gate RNN."""
    outputs = []
    for t in range(len(x)):
        c = torch.tanh(h @ W_ch.T + x[t] @ W_cx.T + b_c)
        g = sigma(h @ W_gh.T + x[t] @ W_gx.T + b_g)
        h = g * h + (1 - g) * c
        outputs.append(h)
    return torch.stack(outputs)


def minimal_gated_unit(x: Tensor, h: Tensor, W_f: Tensor, U_f: Tensor, b_f: Tensor, W_h: Tensor, U_h: Tensor, b_h: Tensor) -> Tensor:
    """Zhou et al. 2016 (1603.09420)."""
    outputs = []
    for t in range(len(x)):
        f = sigma(x[t] @ W_f.T + h @ U_f.T + b_f)
        candidate = torch.tanh(x[t] @ W_h.T + (f * h) @ U_h.T + b_h)
        h = (1 - f) * h + f * candidate
        outputs.append(h)
    return torch.stack(outputs)


def just_another_network(
    x: Tensor, c: Tensor, U_f: Tensor, W_f: Tensor, b_f: Tensor, U_c: Tensor, W_c: Tensor, b_c: Tensor, beta: float = 1.0
) -> Tensor:
    """van der Westhuizen & Lasenby 2018 (1804.04849), JANET: h_t = c_t."""
    outputs = []
    for t in range(len(x)):
        s = c @ U_f.T + x[t] @ W_f.T + b_f
        candidate = torch.tanh(c @ U_c.T + x[t] @ W_c.T + b_c)
        c = sigma(s) * c + (1 - sigma(s - beta)) * candidate
        outputs.append(c)
    return torch.stack(outputs)


def independently_recurrent(x: Tensor, h: Tensor, W: Tensor, u: Tensor, b: Tensor) -> Tensor:
    """Li et al. 2018 (1803.04831), its nonlinearity a rectifier."""
    outputs = []
    for t in range(len(x)):
        h = torch.clamp(x[t] @ W.T + u * h + b, min=0)
        outputs.append(h)
    return torch.stack(outputs)


def para_gru(x: Tensor, h: Tensor, **w: Tensor) -> Tensor:
    """Danieli et al. 2025 (2510.21450), diagonal recurrent matrices A."""
    outputs = []
    for x_t in x:
        z, r = (sigma(w[f"A_{g}"] * h + x_t @ w[f"B_{g}"].T + w[f"b_{g}"]) for g in "zr")
        h = (1 - z) * h + z * torch.tanh(w["A_c"] * (h * r) + x_t @ w["B_c"].T + w["b_c"])
        outputs.append(h)
    return torch.stack(outputs)


def simple_recurrent_unit(
    x: Tensor, h: Tensor, c: Tensor, W: Tensor, W_f: Tensor, v_f: Tensor, b_f: Tensor, W_r: Tensor, v_r: Tensor, b_r: Tensor
) -> Tensor:
    """Lei et al. 2018 (1709.02755v5), eq. 1 to 4: both gates see the old c."""
    outputs = []
    for t in range(len(x)):
        f = sigma(x[t] @ W_f.T + v_f * c + b_f)
        r = sigma(x[t] @ W_r.T + v_r * c + b_r)
        c = f * c + (1 - f) * (x[t] @ W.T)
        outputs.append(r * c + (1 - r) * x[t])
    return torch.stack(outputs)


def para_lstm(x: Tensor, h: Tensor, c: Tensor, **w: Tensor) -> Tensor:
    """Danieli et al. 2025 (2510.21450): peepholes C, and 1 - f for the input gate."""
    outputs = []
    for x_t in x:
        f, z, o = (w[f"A_{g}"] * h + x_t @ w[f"B_{g}"].T + w[f"b_{g}"] for g in "fzo")
        f = sigma(f + w["C_f"] * c)
        c = f * c + (1 - f) * torch.tanh(z)
        outputs.append(h := sigma(o + w["C_o"] * c) * torch.tanh(c))
    return torch.stack(outputs)


def min_gru(x: Tensor, h: Tensor, W_z: Tensor, b_z: Tensor, W_h: Tensor, b_h: Tensor) -> Tensor:
    """Feng et al. 2024 (2410.01201), in sequential mode."""
    outputs = []
    for t in range(len(x)):
        z = sigma(x[t] @ W_z.T + b_z)
        h = (1 - z) * h + z * (x[t] @ W_h.T + b_h)
        outputs.append(h)
    return torch.stack(outputs)


def min_lstm(x: Tensor, h: Tensor, W_f: Tensor, b_f: Tensor, W_i: Tensor, b_i: Tensor, W_h: Tensor, b_h: Tensor) -> Tensor:
    """Feng et al. 2024 (2410.01201), in sequential mode, the gates normalised."""
    outputs = []
    for t in range(len(x)):
        f, i = sigma(x[t] @ W_f.T + b_f), sigma(x[t] @ W_i.T + b_i)
        f, i = f / (f + i), i / (f + i)
        h = f * h + i * (x[t] @ W_h.T + b_h)
        outputs.append(h)
    return torch.stack(outputs)


def light_gated_recurrent_unit(
    x: Tensor, h: Tensor, W_z: Tensor, U_z: Tensor, b_z: Tensor, W_h: Tensor, U_h: Tensor, b_h: Tensor
) -> Tensor:
    """Ravanelli et al. 2018 (1803.10225), a bias in place of the batch normalisation."""
    outputs = []
    for t in range(len(x)):
        z = sigma(x[t] @ W_z.T + h @ U_z.T + b_z)
        candidate = torch.clamp(x[t] @ W_h.T + h @ U_h.T + b_h, min=0)
        h = z * h + (1 - z) * candidate
        outputs.append(h)
    return torch.stack(outputs)


def peephole_lstm(
    x: Tensor, h: Tensor, c: Tensor, W_i: Tensor, U_i: Tensor, p_i: Tensor, b_i: Tensor, W_f: Tensor, U_f: Tensor, p_f: Tensor,
    b_f: Tensor, W_o: Tensor, U_o: Tensor, p_o: Tensor, b_o: Tensor, W_g: Tensor, U_g: Tensor, b_g: Tensor,
) -> Tensor:  # fmt: skip
    """Gers & Schmidhuber 2000: the output gate sees the new cell."""
    outputs = []
    for t in range(len(x)):
        i = sigma(x[t] @ W_i.T + h @ U_i.T + p_i * c + b_i)
        f = sigma(x[t] @ W_f.T + h @ U_f.T + p_f * c + b_f)
        c = f * c + i * torch.tanh(x[t] @ W_g.T + h @ U_g.T + b_g)
        h = sigma(x[t] @ W_o.T + h @ U_o.T + p_o * c + b_o) * torch.tanh(c)
        outputs.append(h)
    return torch.stack(outputs)


def scalar_lstm(
    x: Tensor, h: Tensor, c: Tensor, n: Tensor, m: Tensor, W_z: Tensor, R_z: Tensor, b_z: Tensor, W_i: Tensor, R_i: Tensor,
    b_i: Tensor, W_f: Tensor, R_f: Tensor, b_f: Tensor, W_o: Tensor, R_o: Tensor, b_o: Tensor,
) -> Tensor:  # fmt: skip
    """Beck et al. 2024 (2405.04517), eq. 8 to 14, without the stabiliser: c and n are e^m times what they are with it."""
    c, n = c * m.exp(), n * m.exp()
    outputs = []
    for t in range(len(x)):
        z = torch.tanh(x[t] @ W_z.T + mixed(h, R_z) + b_z)
        i = torch.exp(x[t] @ W_i.T + mixed(h, R_i) + b_i)
        f = sigma(x[t] @ W_f.T + mixed(h, R_f) + b_f)
        o = sigma(x[t] @ W_o.T + mixed(h, R_o) + b_o)
        c, n = f * c + i * z, f * n + i
        h = o * (c / n)
        outputs.append(h)
    return torch.stack(outputs)


def mixed(h: Tensor, R: Tensor) -> Tensor:
    """A block-diagonal matrix, given as its blocks (heads, n, n), times h, head by head."""
    return torch.cat([part @ block.T for part, block in zip(h.chunk(len(R), dim=-1), R, strict=True)], dim=-1)


def fast_gated(x: Tensor, h: Tensor, W: Tensor, U: Tensor, b_z: Tensor, b_h: Tensor, zeta: Tensor, nu: Tensor) -> Tensor:
    """Kusupati et al. 2018 (1901.02358), eq. 3 and 4; ζ and ν are the sigmoids of what is given."""
    outputs = []
    for t in range(len(x)):
        pre = W @ x[t].T + U @ h.T
        z = sigma(pre + b_z[:, None]).T
        h_new = torch.tanh(pre + b_h[:, None]).T
        h = (sigma(zeta) * (1 - z) + sigma(nu)) * h_new + z * h
        outputs.append(h)
    return torch.stack(outputs)


def quasi_recurrent(x: Tensor, h: Tensor, c: Tensor, **weights: Tensor) -> Tensor:
    """Bradbury et al. 2017 (1611.01576), eq. 1 with a masked convolution of width 2, and eq. 4; `weights` are W1_*, W2_* and b_* of
    z, f and o."""
    padded = F.pad(x.permute(1, 2, 0), (1, 0))  # (B, D, 1 + T)

    def convolved(gate: str) -> Tensor:
        kernel = torch.stack([weights[f"W1_{gate}"], weights[f"W2_{gate}"]], dim=-1)
        return F.conv1d(padded, kernel, weights[f"b_{gate}"]).permute(2, 0, 1)

    gates = torch.tanh(convolved("z")), sigma(convolved("f")), sigma(convolved("o"))
    outputs = []
    for z, f, o in zip(*gates, strict=True):
        c = f * c + (1 - f) * z
        outputs.append(o * c)
    return torch.stack(outputs)


def wave_equation(x: Tensor, u: Tensor, before: Tensor, source: Tensor, c: Tensor, b: Tensor) -> Tensor:
    """Hughes et al. 2019, with h = 1 and dt = 0.5, on the grid of 5×8 or 1×7 points: speeds between 0.5 and 1 of what c squashes."""
    grid = {40: (5, 8), 7: (1, 7)}[u.shape[1]]
    speed, b = (0.5 + 0.5 * sigma(c)).view(grid), b.view(grid)
    kernel = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=x.dtype).view(1, 1, 3, 3)
    dt = 0.5
    u, before = u.view(-1, 1, *grid), before.view(-1, 1, *grid)
    outputs = []
    for t in range(len(x)):
        laplace = torch.nn.functional.conv2d(u, kernel, padding=1)
        after = (2 / dt**2 * u - (1 / dt**2 - b / dt) * before + speed**2 * laplace) / (1 / dt**2 + b / dt)
        u, before = after + (x[t] @ source.T).view(-1, 1, *grid), u
        outputs.append(u.flatten(1))
    return torch.stack(outputs)


def string_in_air(x: Tensor, u: Tensor, before: Tensor, source: Tensor, c: Tensor, b: Tensor) -> Tensor:
    """Bilbao 2009, ch. 6: u_tt = c² u_ss − 2 b u_t between fixed ends, central differences of step 0.5, points 1 apart."""
    dt = 0.5
    outputs = []
    for t in range(len(x)):
        left = torch.cat([torch.zeros_like(u[:, :1]), u[:, :-1]], 1)
        right = torch.cat([u[:, 1:], torch.zeros_like(u[:, :1])], 1)
        bent = c**2 * (left - 2 * u + right)
        after = (bent + (2 * u - before) / dt**2 + 2 * b * before / (2 * dt)) / (1 / dt**2 + 2 * b / (2 * dt))
        u, before = after + x[t] @ source.T, u
        outputs.append(u)
    return torch.stack(outputs)


def coupled_pendulums(x: Tensor, u: Tensor, before: Tensor, source: Tensor, c: Tensor, m: Tensor) -> Tensor:
    """Klein 1926, Gordon 1926: u_tt = c² ∇²u − m² u, central differences of step 0.5 on the grids of `wave_equation`."""
    grid = {40: (5, 8), 7: (1, 7)}[u.shape[1]]
    kernel = torch.tensor([[0, 1, 0], [1, -4, 1], [0, 1, 0]], dtype=x.dtype).view(1, 1, 3, 3)
    outputs = []
    for t in range(len(x)):
        laplace = torch.nn.functional.conv2d(u.view(-1, 1, *grid), kernel, padding=1).flatten(1)
        after = 2 * u - before + 0.5**2 * (c**2 * laplace - m**2 * u)
        u, before = after + x[t] @ source.T, u
        outputs.append(u)
    return torch.stack(outputs)

"""Layer-normalized GRU: Ba, Kiros & Hinton, "Layer normalization" (1607.06450), in the supplement's equations.

    (z, r)_t = σ(LN(W_h h_{t-1}; α_h) + LN(W_x x_t; α_x) + b)
    n_t = tanh(LN(W x_t; α_nx, β_nx) + r_t ⊙ LN(U h_{t-1}; α_nh, β_nh))
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t

LN(v; α, β) = α ⊙ (v - mean v) / √(variance v + ε) + β; over both gates together, and over the candidate's products alone. The β of the
gates' two sums are one vector b here.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import layer_norm, sigmoid, tanh


@cell(paper="Ba, Kiros & Hinton 2016", parameters="3*(H*D + H**2) + 10*H", init={"p": 1.0, "b": 0.0})
def gru_layer_norm(h, x, W, b, p):
    zx, rx = layer_norm(W.zx(x), W.rx(x))
    zh, rh = layer_norm(W.zh(h), W.rh(h))
    z = sigmoid(p.zh * zh + p.zx * zx + b.z)
    r = sigmoid(p.rh * rh + p.rx * rx + b.r)
    n = tanh(p.nx * layer_norm(W.nx(x)) + b.nx + r * (p.nh * layer_norm(W.nh(h)) + b.nh))
    return (1 - z) * h + z * n

"""STAR, the stackable recurrent unit: Turkoglu, D'Aronco, Wegner & Schindler, "Gating revisited", TPAMI 2021 (1911.11033).

    z_t = tanh(W_z x_t + b_z)                     k_t = σ(W_x x_t + W_h h_{t-1} + b_k)
    h_t = tanh((1 - k_t) ⊙ h_{t-1} + k_t ⊙ z_t)

A MinimalRNN whose new state passes a tanh, and whose gate sees the input instead of z.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Turkoglu et al. 2021", parameters="2*H*D + H**2 + 2*H")
def star(h, x, W, b):
    z = tanh(W.z(x) + b.z)
    k = sigmoid(W.kx(x) + W.kh(h) + b.k)
    return tanh((1 - k) * h + k * z)

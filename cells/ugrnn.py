"""The update gate RNN: Collins, Sohl-Dickstein & Sussillo, "Capacity and trainability in recurrent neural networks", ICLR 2017
(1611.09913).

    c_t = tanh(W_ch h_{t-1} + W_cx x_t + b_c)
    g_t = σ(W_gh h_{t-1} + W_gx x_t + b_g)
    h_t = g_t ⊙ h_{t-1} + (1 - g_t) ⊙ c_t

A gated recurrent unit without the reset gate.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Collins et al. 2017", parameters="2*(H*D + H**2 + H)")
def ugrnn(h, x, W, b):
    c = tanh(W.ch(h) + W.cx(x) + b.c)
    g = sigmoid(W.gh(h) + W.gx(x) + b.g)
    return g * h + (1 - g) * c

"""Layer-normalized LSTM: Ba, Kiros & Hinton, "Layer normalization" (1607.06450), eq. 20-22.

    (f, i, o, g)_t = LN(W_h h_{t-1}; α_h) + LN(W_x x_t; α_x) + b
    c_t = σ(f_t) ⊙ c_{t-1} + σ(i_t) ⊙ tanh(g_t)
    h_t = σ(o_t) ⊙ tanh(LN(c_t; α_c, β_c))

LN(z; α, β) = α ⊙ (z - mean z) / √(variance z + ε) + β, over all four gates together. The paper adds a β to both sums of products beside b:
the three are one vector here.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import layer_norm, sigmoid, tanh


@cell(paper="Ba, Kiros & Hinton 2016", parameters="4*(H*D + H**2) + 14*H", init={"p": 1.0, "b": 0.0})
def lstm_layer_norm(h, c, x, W, b, p):
    fx, ix, ox, gx = layer_norm(W.fx(x), W.ix(x), W.ox(x), W.gx(x))
    fh, ih, oh, gh = layer_norm(W.fh(h), W.ih(h), W.oh(h), W.gh(h))
    f = sigmoid(p.fh * fh + p.fx * fx + b.f)
    i = sigmoid(p.ih * ih + p.ix * ix + b.i)
    o = sigmoid(p.oh * oh + p.ox * ox + b.o)
    g = tanh(p.gh * gh + p.gx * gx + b.g)
    c = f * c + i * g
    return o * tanh(p.c * layer_norm(c) + b.c), c

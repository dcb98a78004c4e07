"""Long short-term memory with peepholes: Gers & Schmidhuber, "Recurrent nets that time and count", IJCNN 2000.

    i_t = σ(W_ix x_t + W_ih h_{t-1} + p_i ⊙ c_{t-1} + b_i)        g_t = tanh(W_gx x_t + W_gh h_{t-1} + b_g)
    f_t = σ(W_fx x_t + W_fh h_{t-1} + p_f ⊙ c_{t-1} + b_f)        c_t = f_t ⊙ c_{t-1} + i_t ⊙ g_t
    o_t = σ(W_ox x_t + W_oh h_{t-1} + p_o ⊙ c_t + b_o)            h_t = o_t ⊙ tanh(c_t)

The output gate reads the new cell state c_t, the other gates the old one.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Gers & Schmidhuber 2000", parameters="4*(H*D + H**2 + H) + 3*H")
def lstm_peephole(h, c, x, W, b, p):
    i = sigmoid(W.ix(x) + W.ih(h) + p.i * c + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + p.f * c + b.f)
    g = tanh(W.gx(x) + W.gh(h) + b.g)
    c = f * c + i * g
    o = sigmoid(W.ox(x) + W.oh(h) + p.o * c + b.o)
    return o * tanh(c), c

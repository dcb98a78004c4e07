"""The nested LSTM: Moniz & Krueger, "Nested LSTMs", ACML 2017 (1801.10308). The memory of an LSTM is itself an LSTM.

    i, f, o = σ(W_· x_t + U_· h_{t-1} + b_·)                    g = tanh(W_g x_t + U_g h_{t-1} + b_g)
    h̃ = f ⊙ c_{t-1}                                             x̃ = i ⊙ g
    ĩ, f̃, õ = σ(W̃_· x̃ + Ũ_· h̃ + b̃_·)                            g̃ = tanh(W̃_g x̃ + Ũ_g h̃ + b̃_g)
    c̃_t = f̃ ⊙ c̃_{t-1} + ĩ ⊙ g̃                                   c_t = õ ⊙ tanh(c̃_t)
    h_t = o ⊙ tanh(c_t)

The inner products depend on the outer gates: a step has two stages.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Moniz & Krueger 2017", parameters="4*(H*D + H**2 + H) + 4*(2*H**2 + H)")
def lstm_nested(h, c, inner, x, W, b):
    i = sigmoid(W.ix(x) + W.ih(h) + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + b.f)
    o = sigmoid(W.ox(x) + W.oh(h) + b.o)
    g = tanh(W.gx(x) + W.gh(h) + b.g)
    kept, new = f * c, i * g
    inner_i = sigmoid(W.inner_ix(new) + W.inner_ih(kept) + b.inner_i)
    inner_f = sigmoid(W.inner_fx(new) + W.inner_fh(kept) + b.inner_f)
    inner_o = sigmoid(W.inner_ox(new) + W.inner_oh(kept) + b.inner_o)
    inner_g = tanh(W.inner_gx(new) + W.inner_gh(kept) + b.inner_g)
    inner = inner_f * inner + inner_i * inner_g
    c = inner_o * tanh(inner)
    return o * tanh(c), c, inner

"""minLSTM: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024 (2410.01201).

    f_t = σ(W_f x_t + b_f)        i_t = σ(W_i x_t + b_i)        h̃_t = W_h x_t + b_h
    h_t = f_t / (f_t + i_t) ⊙ h_{t-1} + i_t / (f_t + i_t) ⊙ h̃_t

The gates are normalized, so h_t is a weighted mean of the state and its candidate. Linear in its state, without a recurrent product.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid


@cell(paper="Feng et al. 2024", parameters="3*(H*D + H)")
def minlstm(h, x, W, b):
    f = sigmoid(W.f(x) + b.f)
    i = sigmoid(W.i(x) + b.i)
    n = W.h(x) + b.h
    return f / (f + i) * h + i / (f + i) * n

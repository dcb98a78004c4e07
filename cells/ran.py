"""RAN, the recurrent additive network: Lee, Levy & Zettlemoyer 2017 (1705.07393), with g = tanh.

    c̃_t = W_cx x_t
    i_t = σ(W_ih h_{t-1} + W_ix x_t + b_i)        f_t = σ(W_fh h_{t-1} + W_fx x_t + b_f)
    c_t = i_t ⊙ c̃_t + f_t ⊙ c_{t-1}               h_t = tanh(c_t)

The memory is a gated sum of linear maps of the inputs.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Lee et al. 2017", parameters="3*H*D + 2*H**2 + 2*H")
def ran(h, c, x, W, b):
    i = sigmoid(W.ix(x) + W.ih(h) + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + b.f)
    c = i * W.cx(x) + f * c
    return tanh(c), c

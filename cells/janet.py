"""JANET, just another network: van der Westhuizen & Lasenby, "The unreasonable effectiveness of the forget gate", 2018 (1804.04849).

    s_t = U_f h_{t-1} + W_f x_t + b_f        c̃_t = tanh(U_c h_{t-1} + W_c x_t + b_c)
    c_t = σ(s_t) ⊙ c_{t-1} + (1 - σ(s_t - β)) ⊙ c̃_t        h_t = c_t

An LSTM with only the forget gate, β = 1 as in the paper. The paper initializes b_f by log U(1, T_max - 1): that is the variant `chrono`,
for sequences of 784 steps (the pixels of MNIST); `cells.grammar.initializers.Chrono` takes other lengths. By default, without a known
length, b_f is initialized as the other vectors.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Chrono


@cell(
    paper="van der Westhuizen & Lasenby 2018",
    parameters="2*(H*D + H**2 + H)",
    variants={"chrono": {"b.f": Chrono(784)}},
)
def janet(h, x, W, b):
    s = W.fh(h) + W.fx(x) + b.f
    c = tanh(W.ch(h) + W.cx(x) + b.c)
    return sigmoid(s) * h + (1 - sigmoid(s - 1)) * c

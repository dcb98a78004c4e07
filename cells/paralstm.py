"""ParaLSTM: an LSTM whose recurrent matrices are diagonal, with peepholes and one gate for forgetting and input, so that its time steps can
be solved in parallel by exact Newton steps: Danieli et al. 2025 (2510.21450); see `paragru`.

    f_t = σ(a_f ⊙ h_{t-1} + p_f ⊙ c_{t-1} + W_f x_t + b_f)        g_t = tanh(a_g ⊙ h_{t-1} + W_g x_t + b_g)
    c_t = f_t ⊙ c_{t-1} + (1 - f_t) ⊙ g_t
    o_t = σ(a_o ⊙ h_{t-1} + p_o ⊙ c_t + W_o x_t + b_o)            h_t = o_t ⊙ tanh(c_t)

The derivative of a step by the states before is a block of 2×2 for each unit.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Danieli et al. 2025", parameters="3*H*D + 8*H")
def paralstm(h, c, x, W, b, p):
    f = sigmoid(p.fh * h + p.fc * c + W.f(x) + b.f)
    g = tanh(p.gh * h + W.g(x) + b.g)
    c = f * c + (1 - f) * g
    o = sigmoid(p.oh * h + p.oc * c + W.o(x) + b.o)
    return o * tanh(c), c

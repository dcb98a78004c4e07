"""BRC, the bistable recurrent cell: Vecoven, Ernst & Drion, PLOS ONE 2021 (2006.05252).

    a_t = 1 + tanh(U_a x_t + w_a ⊙ h_{t-1})       c_t = σ(U_c x_t + w_c ⊙ h_{t-1})
    h_t = c_t ⊙ h_{t-1} + (1 - c_t) ⊙ tanh(U x_t + a_t ⊙ h_{t-1})

Each unit feeds back on itself alone, and keeps one of two states while a_t > 1. It has no bias and no recurrent product.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Vecoven et al. 2021", parameters="3*H*D + 2*H")
def brc(h, x, W, p):
    a = 1 + tanh(W.a(x) + p.a * h)
    c = sigmoid(W.c(x) + p.c * h)
    return c * h + (1 - c) * tanh(W.h(x) + a * h)

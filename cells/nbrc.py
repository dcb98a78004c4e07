"""nBRC, the neuromodulated bistable recurrent cell: Vecoven, Ernst & Drion, PLOS ONE 2021 (2006.05252).

    a_t = 1 + tanh(U_a x_t + W_a h_{t-1})         c_t = σ(U_c x_t + W_c h_{t-1})
    h_t = c_t ⊙ h_{t-1} + (1 - c_t) ⊙ tanh(U x_t + a_t ⊙ h_{t-1})

As `brc`, but all units set the feedback and the gate of each. It has no bias.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Vecoven et al. 2021", parameters="3*H*D + 2*H**2")
def nbrc(h, x, W):
    a = 1 + tanh(W.ax(x) + W.ah(h))
    c = sigmoid(W.cx(x) + W.ch(h))
    return c * h + (1 - c) * tanh(W.h(x) + a * h)

"""Lipschitz RNN: Erichson, Azencot, Queiruga, Hodgkinson & Mahoney, ICLR 2021 (2006.12070), eq. 3-5, by forward Euler steps.

    h_t = h_{t-1} + ε (A h_{t-1} + tanh(W h_{t-1} + U x_t + b))
    A = (1 - β)(M_A + M_Aᵀ) + β (M_A - M_Aᵀ) - γ I        W = (1 - β)(M_W + M_Wᵀ) + β (M_W - M_Wᵀ) - γ I

β moves a matrix from symmetric (0) to antisymmetric (1), and γ its spectrum to the left. ε, β and γ are hyperparameters; β and γ are the
same for both matrices here.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import tanh

EPSILON, BETA, GAMMA = 0.03, 0.75, 0.001


@cell(paper="Erichson et al. 2021", parameters="H*D + 2*H**2 + H")
def lipschitz(h, x, W, b):
    a, at = W.a(h), W.a.T(h)
    w, wt = W.w(h), W.w.T(h)
    a = (1 - BETA) * (a + at) + BETA * (a - at) - GAMMA * h
    w = (1 - BETA) * (w + wt) + BETA * (w - wt) - GAMMA * h
    return h + EPSILON * (a + tanh(w + W.u(x) + b.h))

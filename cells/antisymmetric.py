"""AntisymmetricRNN: Chang, Chen, Haber & Chi, "AntisymmetricRNN: a dynamical system view on recurrent neural networks", ICLR 2019
(1902.09689), eq. 9.

    h_t = h_{t-1} + ε tanh((W_h - W_hᵀ - γ I) h_{t-1} + V_h x_t + b_h)

A forward Euler step of an equation whose linear part has imaginary eigenvalues, moved by the diffusion γ. ε and γ are hyperparameters,
which the paper chooses for each task.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import tanh

EPSILON, GAMMA = 0.1, 0.01


@cell(paper="Chang et al. 2019", parameters="H*D + H**2 + H")
def antisymmetric(h, x, W, b):
    return h + EPSILON * tanh(W.hh(h) - W.hh.T(h) - GAMMA * h + W.hx(x) + b.h)

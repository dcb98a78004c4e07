"""The independently recurrent network (IndRNN) with ReLU: Li, Li, Cook, Zhu & Gao, CVPR 2018 (1803.04831).

    h_t = max(0, W x_t + u ⊙ h_{t-1} + b)

Each unit reads only its own state, so there is no recurrent product. The paper bounds |u| by 2^(1/T) during training; that is left to
the training code.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import relu


@cell(paper="Li et al. 2018", parameters="H*D + 2*H")
def indrnn(h, x, W, b, p):
    return relu(W.x(x) + p.u * h + b.h)

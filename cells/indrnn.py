"""The independently recurrent network: Li, Li, Cook, Zhu & Gao, CVPR 2018 (1803.04831), with its rectifier.

    h_t = max(0, W x_t + u ⊙ h_{t-1} + b)

Each unit sees only itself: no product is left in the loop. The paper keeps |u| below 2^(1/T) while it trains, which is the trainer's part.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import relu


@cell(paper="Li et al. 2018", parameters="H*D + 2*H")
def indrnn(h, x, W, b, p):
    return relu(W.x(x) + p.u * h + b.h)

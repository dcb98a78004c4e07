"""The block GRU: a GRU whose recurrent matrices are block-diagonal with eight blocks; Hafner, Pasukonis, Ba & Lillicrap 2023 (2301.04104).

    r, z = σ(W_·x x_t + W_·h h_{t-1} + b_·)
    n = tanh(W_nx x_t + b_nx + r ⊙ (W_nh h_{t-1} + b_nh))
    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

A block, or head, mixes only its own units: an eighth of the recurrent parameters and operations. The world model of DreamerV3 has eight;
its normalization and its gate bias of -1 are left out, so that this is `gru` with heads.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Hafner et al. 2023, 8 blocks", parameters="3*(H*D + H**2/8 + H) + H", heads={"W.rh": 8, "W.zh": 8, "W.nh": 8})
def gru_block(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    z = sigmoid(W.zx(x) + W.zh(h) + b.z)
    n = tanh(W.nx(x) + b.nx + r * (W.nh(h) + b.nh))
    return (1 - z) * n + z * h

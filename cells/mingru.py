"""minGRU: Feng, Tung, Ahmed, Bengio & Hajimirsadeghi, "Were RNNs all we needed?", 2024 (2410.01201).

    z_t = σ(W_z x_t + b_z)        h̃_t = W_h x_t + b_h
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ h̃_t

Linear in its state. Gate and candidate don't depend on the state, so only their weighted mean is computed in the time loop.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid


@cell(paper="Feng et al. 2024", parameters="2*(H*D + H)")
def mingru(h, x, W, b):
    z = sigmoid(W.z(x) + b.z)
    n = W.h(x) + b.h
    return (1 - z) * h + z * n

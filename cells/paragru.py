"""ParaGRU: a GRU whose recurrent matrices are diagonal, so that its time steps can be solved in parallel by exact Newton steps: Danieli et
al., "ParaRNN: Unlocking parallel training of nonlinear RNNs for large language models", 2025 (2510.21450).

    z_t, r_t = σ(a_· ⊙ h_{t-1} + W_· x_t + b_·)
    n_t = tanh(a_n ⊙ (r_t ⊙ h_{t-1}) + W_n x_t + b_n)
    h_t = (1 - z_t) ⊙ h_{t-1} + z_t ⊙ n_t

Units mix between layers alone.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Danieli et al. 2025", parameters="3*H*D + 6*H")
def paragru(h, x, W, b, p):
    z = sigmoid(p.z * h + W.z(x) + b.z)
    r = sigmoid(p.r * h + W.r(x) + b.r)
    n = tanh(p.n * (r * h) + W.n(x) + b.n)
    return (1 - z) * h + z * n

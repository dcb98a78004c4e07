"""FastGRNN: Kusupati, Singh, Bhatia, Kumar, Jain & Varma, NeurIPS 2018 (1901.02358), eq. 3-4.

    z_t = σ(W x_t + U h_{t-1} + b_z)        h̃_t = tanh(W x_t + U h_{t-1} + b_h)
    h_t = (ζ (1 - z_t) + ν) ⊙ h̃_t + z_t ⊙ h_{t-1}

Gate and candidate share both matrices. ζ and ν are scalars between 0 and 1, the sigmoids of trainable scalars, as in the authors' code.
The initialization is from that code too: matrices from N(0, 0.1²), biases of 1, ζ = σ(1) and ν = σ(-4). The paper's compression of W and
U (low rank, sparsity, 8 bits) is left to the training code.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(
    paper="Kusupati et al. 2018",
    parameters="H*D + H**2 + 2*H + 2",
    init={"W": lambda matrix: matrix.normal_(0.0, 0.1), "b": 1.0, "s.zeta": 1.0, "s.nu": -4.0},
)
def fastgrnn(h, x, W, b, s):
    a = W.ax(x) + W.ah(h)
    z = sigmoid(a + b.z)
    n = tanh(a + b.h)
    zeta = sigmoid(s.zeta)
    nu = sigmoid(s.nu)
    return (zeta * (1 - z) + nu) * n + z * h

"""The light gated recurrent unit: Ravanelli, Brakel, Omologo & Bengio, "Light gated recurrent units for speech recognition", 2018
(1803.10225), without its batch normalisation.

    z_t = σ(W_z x_t + U_z h_{t-1} + b_z)
    h̃_t = max(0, W_h x_t + U_h h_{t-1} + b_h)
    h_t = z_t ⊙ h_{t-1} + (1 - z_t) ⊙ h̃_t

The paper has BN(W x_t) in place of W x_t + b, which needs a whole minibatch. Here the bias b stands for the shift of the normalization,
and its scale is 1.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import relu, sigmoid


@cell(paper="Ravanelli et al. 2018, without batch normalisation", parameters="2*(H*D + H**2 + H)")
def ligru(h, x, W, b):
    z = sigmoid(W.zx(x) + W.zh(h) + b.z)
    n = relu(W.nx(x) + W.nh(h) + b.n)
    return z * h + (1 - z) * n

"""The gated recurrent unit with the reset gate after the product, the equations of torch and cuDNN: Cho et al. 2014 (v3), nn.GRU.

    r, z = σ(W_·x x_t + W_·h h_{t-1} + b_·)
    n = tanh(W_nx x_t + b_nx + r ⊙ (W_nh h_{t-1} + b_nh))
    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

The papers of MinimalRNN and CFN apply the reset gate before the product: that cell is `gru_reset_before`.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Cho et al. 2014, reset after the product",
    parameters="3*(H*D + H**2 + H) + H",
    torch_equivalent=TorchEquivalent("GRU", ("r", "z", "n")),
)
def gru(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    z = sigmoid(W.zx(x) + W.zh(h) + b.z)
    n = tanh(W.nx(x) + b.nx + r * (W.nh(h) + b.nh))
    return (1 - z) * n + z * h

"""The gated recurrent unit with the reset gate after the product, the equations of torch and cuDNN: Cho et al. 2014 (v3), nn.GRU.

    r, z = σ(W_·x x_t + W_·h h_{t-1} + b_·)
    n = tanh(W_nx x_t + b_nx + r ⊙ (W_nh h_{t-1} + b_nh))
    h_t = (1 - z) ⊙ n + z ⊙ h_{t-1}

The papers of MinimalRNN and CFN apply the reset gate before the product: that cell is `gru_reset_before`.

The variant `open` gives the gate z a bias of 5, so that it keeps 99.3% of the state in a step: a large bias of the gate that keeps the
state is that of Gers et al. 2000 and Jozefowicz et al., ICML 2015, the size is ours. `critical` is a point at which mean-field theory
(`bench theory`) finds gradients neither growing nor vanishing: σ = 3.126 for what multiplies h, 1 for x, no biases.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Cho et al. 2014, reset after the product",
    parameters="3*(H*D + H**2 + H) + H",
    torch_equivalent=TorchEquivalent("GRU", ("r", "z", "n")),
    variants={
        "open": {"b.z": 5.0},
        "critical": {"W": Normal(1.0), **{f"W.{gate}h": Normal(3.126) for gate in "rzn"}, "b": 0.0},
    },
)
def gru(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    z = sigmoid(W.zx(x) + W.zh(h) + b.z)
    n = tanh(W.nx(x) + b.nx + r * (W.nh(h) + b.nh))
    return (1 - z) * n + z * h

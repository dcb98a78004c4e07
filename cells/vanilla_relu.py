"""The simple recurrent network with ReLU, as in DeepBench and in Diamos et al., "Persistent RNNs", ICML 2016.

    h_t = max(0, W_x x_t + W_h h_{t-1} + b)

At a pre-activation of 0 the derivative is 0, as in torch.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import relu
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Diamos et al. 2016; DeepBench",
    parameters="H*D + H**2 + H",
    torch_equivalent=TorchEquivalent("RNN", ("h",), {"nonlinearity": "relu"}),
)
def vanilla_relu(h, x, W, b):
    return relu(W.hx(x) + W.hh(h) + b.h)

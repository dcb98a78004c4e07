"""The simple recurrent network with a rectifier, as DeepBench and the persistent kernels of Diamos et al. (ICML 2016) run it.

    h_t = max(0, W_x x_t + W_h h_{t-1} + b)

At a pre-activation of 0 the derivative is 0, as in torch.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import relu
from cells.grammar.torch_equivalent import Twin


@cell(
    paper="Diamos et al. 2016; DeepBench",
    parameters="H*D + H**2 + H",
    twin=Twin("RNN", ("h",), {"nonlinearity": "relu"}),
)
def vanilla_relu(h, x, W, b):
    return relu(W.hx(x) + W.hh(h) + b.h)

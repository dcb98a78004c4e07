"""The simple recurrent network: Elman, "Finding structure in time", Cognitive Science 1990; nn.RNN's equations.

    h_t = tanh(W_x x_t + W_h h_{t-1} + b)

The nonlinearity is the only one; `vanilla_relu` has the other of nn.RNN.
"""

from cells.cell import cell
from cells.functions import tanh
from cells.twin import Twin


@cell(
    paper="Elman 1990",
    parameters="H*D + H**2 + H",
    twin=Twin("RNN", ("h",), {"nonlinearity": "tanh"}),
)
def vanilla(h, x, W, b):
    return tanh(W.hx(x) + W.hh(h) + b.h)

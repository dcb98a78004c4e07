"""The simple recurrent network: Elman, "Finding structure in time", Cognitive Science 1990; nn.RNN's equations.

    h_t = tanh(W_x x_t + W_h h_{t-1} + b)

`vanilla_relu` has the other nonlinearity of nn.RNN. The variant `critical` is the initialization of Chen, Pennington & Schoenholz, ICML
2018 (1806.05394): an orthogonal W_h, and an input so small that h stays small, where all singular values of the Jacobian of a step are
near 1.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import tanh
from cells.grammar.initializers import Normal, Orthogonal
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Elman 1990",
    parameters="H*D + H**2 + H",
    torch_equivalent=TorchEquivalent("RNN", ("h",), {"nonlinearity": "tanh"}),
    variants={"critical": {"W.hx": Normal(0.025), "W.hh": Orthogonal(1.0), "b": 0.0}},
)
def vanilla(h, x, W, b):
    return tanh(W.hx(x) + W.hh(h) + b.h)

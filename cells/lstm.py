"""Long short-term memory with a forget gate: Hochreiter & Schmidhuber 1997, Gers et al. 2000; nn.LSTM's equations.

    i, f, o = σ(W_·x x_t + W_·h h_{t-1} + b_·)        g = tanh(W_gx x_t + W_gh h_{t-1} + b_g)
    c_t = f ⊙ c_{t-1} + i ⊙ g                         h_t = o ⊙ tanh(c_t)

One bias per gate; torch and cuDNN carry two and add them.

The variant `open` gives the gate f a bias of 5, so that it keeps 99.3% of the state in a step: a large bias of the gate that keeps the
state is that of Gers et al. 2000 and Jozefowicz et al., ICML 2015, the size is ours. `critical` is a point at which mean-field theory
(`bench theory`) finds gradients neither growing nor vanishing: σ = 4.718 for what multiplies h, 2 for x, no biases.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000",
    parameters="4*(H*D + H**2 + H)",
    torch_equivalent=TorchEquivalent("LSTM", ("i", "f", "g", "o")),
    variants={
        "open": {"b.f": 5.0},
        "critical": {"W": Normal(2.0), **{f"W.{gate}h": Normal(4.718) for gate in "ifgo"}, "b": 0.0},
    },
)
def lstm(h, c, x, W, b):
    i = sigmoid(W.ix(x) + W.ih(h) + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + b.f)
    g = tanh(W.gx(x) + W.gh(h) + b.g)
    o = sigmoid(W.ox(x) + W.oh(h) + b.o)
    c = f * c + i * g
    return o * tanh(c), c

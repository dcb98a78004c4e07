"""Long short-term memory with a forget gate: Hochreiter & Schmidhuber 1997, Gers et al. 2000; nn.LSTM's equations.

    i, f, o = σ(W_·x x_t + W_·h h_{t-1} + b_·)        g = tanh(W_gx x_t + W_gh h_{t-1} + b_g)
    c_t = f ⊙ c_{t-1} + i ⊙ g                         h_t = o ⊙ tanh(c_t)

One bias per gate; torch and cuDNN carry two and add them.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.torch_equivalent import TorchEquivalent


@cell(
    paper="Hochreiter & Schmidhuber 1997; Gers et al. 2000",
    parameters="4*(H*D + H**2 + H)",
    torch_equivalent=TorchEquivalent("LSTM", ("i", "f", "g", "o")),
)
def lstm(h, c, x, W, b):
    i = sigmoid(W.ix(x) + W.ih(h) + b.i)
    f = sigmoid(W.fx(x) + W.fh(h) + b.f)
    g = tanh(W.gx(x) + W.gh(h) + b.g)
    o = sigmoid(W.ox(x) + W.oh(h) + b.o)
    c = f * c + i * g
    return o * tanh(c), c

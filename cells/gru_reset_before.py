"""The gated recurrent unit with the reset gate before the product: Cho et al. 2014 (v1), and as MinimalRNN and CFN cite it.

    r, u = σ(W_·x x_t + W_·h h_{t-1} + b_·)
    n = tanh(W_nx x_t + W_nh (r ⊙ h_{t-1}) + b_n)
    h_t = u ⊙ h_{t-1} + (1 - u) ⊙ n

The second product depends on the first: a step has two stages. The GRU of torch and cuDNN is `gru`.

The variant `open` gives the gate u a bias of 5, so that it keeps 99.3% of the state in a step: a large bias of the gate that keeps the
state is that of Gers et al. 2000 and Jozefowicz et al., ICML 2015, the size is ours. `critical` is a point at which mean-field theory
(`bench theory`) finds gradients neither growing nor vanishing: σ = 2.970 for what multiplies h, 1 for x, no biases.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal


@cell(
    paper="Cho et al. 2014, reset before the product",
    parameters="3*(H*D + H**2 + H)",
    variants={
        "open": {"b.u": 5.0},
        "critical": {"W": Normal(1.0), **{f"W.{gate}h": Normal(2.970) for gate in "run"}, "b": 0.0},
    },
)
def gru_reset_before(h, x, W, b):
    r = sigmoid(W.rx(x) + W.rh(h) + b.r)
    u = sigmoid(W.ux(x) + W.uh(h) + b.u)
    n = tanh(W.nx(x) + W.nh(r * h) + b.n)
    return u * h + (1 - u) * n

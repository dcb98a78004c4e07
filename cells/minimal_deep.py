"""MinimalRNN with a Φ of two layers: Chen 2017 (1711.06788) lets Φ be any network of the input.

    a_t = tanh(W_a x_t + b_a)        z_t = Φ(x_t) = tanh(W_z a_t + b_z)
    u_t = σ(U_h h_{t-1} + U_z z_t + b_u)
    h_t = u_t ⊙ h_{t-1} + (1 - u_t) ⊙ z_t

All of Φ is computed before the time loop, whatever its depth.

The variant `open` gives the gate u a bias of 5, so that it keeps 99.3% of the state in a step: a large bias of the gate that keeps the
state is that of Gers et al. 2000 and Jozefowicz et al., ICML 2015, the size is ours. `critical` is a point at which mean-field theory
(`bench theory`) finds gradients neither growing nor vanishing: σ = 8.218 for what multiplies h, 1.39 for z, 1.197 in Φ, no biases.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal


@cell(
    paper="Chen 2017, Φ of two layers",
    parameters="H*D + 3*H**2 + 3*H",
    variants={
        "open": {"b.u": 5.0},
        "critical": {"W": Normal(1.197), "W.uh": Normal(8.218), "W.uz": Normal(1.39), "b": 0.0},
    },
)
def minimal_deep(h, x, W, b):
    a = tanh(W.a(x) + b.a)
    z = tanh(W.z(a) + b.z)
    u = sigmoid(W.uh(h) + W.uz(z) + b.u)
    return u * h + (1 - u) * z

"""MinimalRNN: Chen, "MinimalRNN: Toward more interpretable and trainable recurrent neural networks", 2017 (1711.06788).

    z_t = Φ(x_t) = tanh(W_x x_t + b_z)
    u_t = σ(U_h h_{t-1} + U_z z_t + b_u)
    h_t = u_t ⊙ h_{t-1} + (1 - u_t) ⊙ z_t

There is no reset gate, and z depends only on the input, so a single H×H product is left in the time loop. `minimal_deep` has a deeper Φ.
The variant `critical` is the initialization of Chen, Pennington & Schoenholz, ICML 2018 (1806.05394), with the numbers of a public
implementation: σ_w = 6.88, σ_v = 1.39 and E z² = 0.46, to which W_x is scaled here for standard normal inputs. `open` gives the gate u a
bias of 5, so that it keeps 99.3% of the state in a step, as large forget biases do (Gers et al. 2000; Jozefowicz et al., ICML 2015).
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal


@cell(
    paper="Chen 2017",
    parameters="H*D + 2*H**2 + 2*H",
    variants={
        "open": {"b.u": 5.0},
        "critical": {"W.z": Normal(1.197), "W.uh": Normal(6.88), "W.uz": Normal(1.39), "b": 0.0},
    },
)
def minimal(h, x, W, b):
    z = tanh(W.z(x) + b.z)
    u = sigmoid(W.uh(h) + W.uz(z) + b.u)
    return u * h + (1 - u) * z

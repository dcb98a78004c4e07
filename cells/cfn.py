"""The chaos-free network: Laurent & von Brecht, "A recurrent neural network without chaos", ICLR 2017 (1612.06212), eq. 1-2.

    θ_t = σ(U_θ h_{t-1} + V_θ x_t + b_θ)              η_t = σ(U_η h_{t-1} + V_η x_t + b_η)
    h_t = θ_t ⊙ tanh(h_{t-1}) + η_t ⊙ tanh(W x_t)

No bias inside the input's tanh. The paper draws every matrix from U(-0.07, 0.07) and sets b_θ = 1, b_η = -1.

The variant `open` gives the gate θ a bias of 5, so that it keeps 99.3% of the state in a step: a large bias of the gate that keeps the
state is that of Gers et al. 2000 and Jozefowicz et al., ICML 2015, the size is ours. `critical` is a point at which mean-field theory
(`bench theory`) finds gradients neither growing nor vanishing: σ = 9.724 for what multiplies h, 1 for x, no biases.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh
from cells.grammar.initializers import Normal


@cell(
    paper="Laurent & von Brecht 2017",
    parameters="3*H*D + 2*H**2 + 2*H",
    init={"W": (-0.07, 0.07), "b.theta": 1.0, "b.eta": -1.0},
    variants={
        "open": {"W": (-0.07, 0.07), "b.theta": 5.0, "b.eta": -1.0},
        "critical": {"W": Normal(1.0), "W.theta_h": Normal(9.724), "W.eta_h": Normal(9.724), "b": 0.0},
    },
)
def cfn(h, x, W, b):
    theta = sigmoid(W.theta_h(h) + W.theta_x(x) + b.theta)
    eta = sigmoid(W.eta_h(h) + W.eta_x(x) + b.eta)
    return theta * tanh(h) + eta * tanh(W.x(x))

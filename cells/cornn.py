"""coRNN, the coupled oscillatory RNN: Rusch & Mishra, ICLR 2021 (2010.00951), with explicit damping as in the authors' code.

    z_t = z_{t-1} + Δt (tanh(W y_{t-1} + U z_{t-1} + V x_t + b) - γ y_{t-1} - ε z_{t-1})
    y_t = y_{t-1} + Δt z_t

Each unit is an oscillator y'' = tanh(…) - γ y - ε y', driven by the others: γ is its squared frequency and ε its damping. Δt, γ and ε
are hyperparameters; these are the authors' for sequential MNIST.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import tanh

DT, GAMMA, EPSILON = 0.042, 2.7, 4.7


@cell(paper="Rusch & Mishra 2021", parameters="H*D + 2*H**2 + H")
def cornn(y, z, x, W, b):
    force = tanh(W.yx(x) + W.yy(y) + W.yz(z) + b.y)
    z = z + DT * (force - GAMMA * y - EPSILON * z)
    return y + DT * z, z

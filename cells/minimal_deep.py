"""MinimalRNN with a Φ of two layers: Chen 2017 (1711.06788) lets Φ be any network of the input.

    a_t = tanh(W_a x_t + b_a)        z_t = Φ(x_t) = tanh(W_z a_t + b_z)
    u_t = σ(U_h h_{t-1} + U_z z_t + b_u)
    h_t = u_t ⊙ h_{t-1} + (1 - u_t) ⊙ z_t

All of Φ is computed before the time loop, whatever its depth.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Chen 2017, Φ of two layers", parameters="H*D + 3*H**2 + 3*H")
def minimal_deep(h, x, W, b):
    a = tanh(W.a(x) + b.a)
    z = tanh(W.z(a) + b.z)
    u = sigmoid(W.uh(h) + W.uz(z) + b.u)
    return u * h + (1 - u) * z

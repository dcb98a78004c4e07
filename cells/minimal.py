"""MinimalRNN: Chen, "MinimalRNN: Toward more interpretable and trainable recurrent neural networks", 2017 (1711.06788).

    z_t = Φ(x_t) = tanh(W_x x_t + b_z)
    u_t = σ(U_h h_{t-1} + U_z z_t + b_u)
    h_t = u_t ⊙ h_{t-1} + (1 - u_t) ⊙ z_t

No reset gate; z sees only the input, so a single H×H product is left in the loop. `minimal_deep` has a deeper Φ.
"""

from cells.cell import cell
from cells.functions import sigmoid, tanh


@cell(paper="Chen 2017", parameters="H*D + 2*H**2 + 2*H")
def minimal(h, x, W, b):
    z = tanh(W.z(x) + b.z)
    u = sigmoid(W.uh(h) + W.uz(z) + b.u)
    return u * h + (1 - u) * z

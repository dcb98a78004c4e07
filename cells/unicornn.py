"""UnICORNN, the undamped independent controlled oscillatory RNN: Rusch & Mishra, ICML 2021 (2103.05487), one layer.

    z_t = z_{t-1} - Δt σ(c) ⊙ (tanh(w ⊙ y_{t-1} + V x_t + b) + α y_{t-1})
    y_t = y_{t-1} + Δt σ(c) ⊙ z_t

A symplectic Euler step of independent oscillators, so that no energy is lost; σ(c) is the trainable time scale of each. There is no
recurrent product. Δt and α are the authors' for permuted sequential MNIST; w, c and b begin as in their code.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh

DT, ALPHA = 0.19, 30.65


@cell(paper="Rusch & Mishra 2021", parameters="H*D + 3*H", init={"p.w": (0.0, 1.0), "p.c": (-0.1, 0.1), "b": 0.0})
def unicornn(y, z, x, W, b, p):
    step = DT * sigmoid(p.c)
    z = z - step * (tanh(p.w * y + W.x(x) + b.y) + ALPHA * y)
    return y + step * z, z

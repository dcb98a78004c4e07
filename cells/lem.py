"""LEM, long expressive memory: Rusch, Mishra, Erichson & Mahoney, ICLR 2022 (2110.04744), with Δt = 1, the default of its code.

    Δt_t = σ(W_1 y_{t-1} + V_1 x_t + b_1)          Δ̄t_t = σ(W_2 y_{t-1} + V_2 x_t + b_2)
    z_t = (1 - Δt_t) ⊙ z_{t-1} + Δt_t ⊙ tanh(W_z y_{t-1} + V_z x_t + b_z)
    y_t = (1 - Δ̄t_t) ⊙ y_{t-1} + Δ̄t_t ⊙ tanh(W_y z_t + V_y x_t + b_y)

The gates are the time steps of two coupled equations of different time scales. The product with z_t makes a second stage.
"""

from cells.grammar.cell import cell
from cells.grammar.functions import sigmoid, tanh


@cell(paper="Rusch et al. 2022", parameters="4*(H*D + H**2 + H)")
def lem(y, z, x, W, b):
    step_z = sigmoid(W.sx(x) + W.sy(y) + b.s)
    step_y = sigmoid(W.rx(x) + W.ry(y) + b.r)
    z = (1 - step_z) * z + step_z * tanh(W.zx(x) + W.zy(y) + b.z)
    return (1 - step_y) * y + step_y * tanh(W.yx(x) + W.yz(z) + b.y), z

"""A string in air: d'Alembert's wave equation on a line, damped; as sound synthesis has it (Bilbao 2009, ch. 6).

    ∂²u/∂t² = c² ∂²u/∂s² − 2 b ∂u/∂t + source

    u_{t+1} = (2 u_t − (1 − b dt) u_{t−1} + (c dt)² ∂²u_t/∂s²) / (1 + b dt) + W_source x_t

Discretized by central differences (`second_order`) on a line of H points between fixed ends, with dt = 0.5. The amplitude decays as
e^(−b t). Trainable are c and b of each point, and the input matrix W_source. Stable for c dt ≤ 1 and b ≥ 0.
"""

from functools import partial

from cells.grammar.field_equation import second_order
from cells.grammar.grid import Grid


@partial(second_order, grid=Grid(axes=1), paper="Bilbao 2009", parameters="H*D + 2*H", init={"p.c": 0.8, "p.b": 0.01})
def damped_string(u, rate, lap, p):
    return p.c**2 * lap - 2 * p.b * rate

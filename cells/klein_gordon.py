"""Waves whose every point is pulled back: Klein 1926, Gordon 1926; pendulums coupled by springs, where they swing a little.

    ∂²u/∂t² = c² ∇²u − m² u + source

    u_{t+1} = 2 u_t − u_{t−1} + dt² (c² ∇²u_t − m² u_t) + W_source x_t

By central differences (`second_order`), on the most square grid with H points, dt = 0.5. ω² = c² k² + m²: nothing swings slower than m.
Learned are c and m of each point, and where the inputs are felt. Stable where dt² (8 c² + m²) ≤ 4.
"""

from functools import partial

from cells.grammar.field_equation import second_order


@partial(second_order, paper="Klein 1926; Gordon 1926", parameters="H*D + 2*H", init={"p.c": 0.8, "p.m": 0.3})
def klein_gordon(u, rate, lap, p):
    return p.c**2 * lap - p.m**2 * u

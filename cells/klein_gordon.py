"""The Klein-Gordon equation: Klein 1926, Gordon 1926. Waves with a restoring force at each point, as of small coupled pendulums.

    ∂²u/∂t² = c² ∇²u − m² u + source

    u_{t+1} = 2 u_t − u_{t−1} + dt² (c² ∇²u_t − m² u_t) + W_source x_t

Discretized by central differences (`second_order`) on the most square grid with H points, with dt = 0.5. The dispersion relation is
ω² = c² k² + m²: no frequency is below m. Trainable are c and m of each point, and the input matrix W_source. Stable for
dt² (8 c² + m²) ≤ 4.
"""

from functools import partial

from cells.grammar.field_equation import second_order


@partial(second_order, paper="Klein 1926; Gordon 1926", parameters="H*D + 2*H", init={"p.c": 0.8, "p.m": 0.3})
def klein_gordon(u, rate, lap, p):
    return p.c**2 * lap - p.m**2 * u

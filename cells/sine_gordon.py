"""The sine-Gordon equation: Frenkel & Kontorova 1939; its kinks pass through each other (Perring & Skyrme 1962).

    ∂²u/∂t² = c² ∇²u − sin u + source

    (u_{t+1} − 2 u_t + u_{t−1}) / dt² = c² ∇²u_t − g (q_{t+½} + q_{t−½}) / 2          g = cos(u_t / 2)
    q_{t+½} = q_{t−½} + g (u_{t+1} − u_{t−1}) / 2

sin u is q ∂q/∂u with q = 2 sin(u/2), whose square is twice the potential energy 1 − cos u. As q is stepped beside u, the energy is that
of a quadratic form, and central differences keep it to rounding, which they don't for sin u itself (energy quadratization, Yang 2016).
The two lines are linear in u_{t+1}, and are solved for it point by point; then W_source x_t is added. From states other than zero, q
begins as 2 sin((u_0 + u_{−1}) / 4); it stays there to second order in dt, but drifts where u turns by more than a radian in a step. On a
line of H points, u is zero beyond it. Trainable are the speed c of each point, between the two of `speeds`, and W_source. Stable for
dt ≤ h / (√axes c), as the wave without sin u.
"""

from cells.grammar.cell import Cell
from cells.grammar.functions import cos, sigmoid
from cells.grammar.grid import Grid


def coupled_pendulums(grid: Grid, dt: float = 0.5, speeds: tuple[float, float] = (0.5, 1.0)) -> Cell:
    """Makes the cell of the sine-Gordon equation on a grid.

    Args:
        grid: the grid.
        dt: the time step.
        speeds: the least and the largest speed of short waves; training starts at their mean.

    Raises:
        CellError: the time step is unstable for the largest speed.
    """
    slow, fast = speeds
    grid.check_step(dt, max(abs(slow), abs(fast)))
    lap = grid.laplacian

    def sine_gordon(u, before, q, x, W, p):
        c = slow + (fast - slow) * sigmoid(p.c)
        g = cos(u / 2)
        stiff = (dt * g) ** 2 / 4
        free = 2 * u - (1 - stiff) * before + (dt * c) ** 2 * lap(u) - dt**2 * g * q
        u_next = free / (1 + stiff) + W.source(x)
        return u_next, u, q + g * (u_next - before) / 2

    paper = "Frenkel & Kontorova 1939; Yang 2016"
    return Cell(sine_gordon, paper=paper, parameters="H*D + H", init={"p.c": 0.0, "W.source": grid.sources})


sine_gordon = coupled_pendulums(Grid(axes=1))

"""The damped scalar wave equation on a grid as a recurrent network: Hughes, Williamson, Minkov & Fan 2019 (arXiv:1904.12831).

    ∂²u/∂t² + 2 b ∂u/∂t = c² ∇²u + source              u_tt ≈ (u_{t+1} − 2u_t + u_{t−1}) / dt²,  u_t ≈ (u_{t+1} − u_{t−1}) / 2dt

    u_{t+1} = (2 u_t − (1 − b dt) u_{t−1} + (c dt)² ∇²u_t) / (1 + b dt) + W_source x_t

The H units are the points of the grid. Trainable are the speed c and the damping b of each point, and the input matrix W_source:
H·D + 2·H parameters. c is bounded by the two `speeds`, so that the scheme stays stable while b ≥ 0: between 0.5 and 1 as in the paper.
"""

from cells.grammar.cell import Cell
from cells.grammar.functions import sigmoid
from cells.grammar.grid import Grid

DT = 0.5
SPEEDS = 0.5, 1.0


def damped_wave(grid: Grid | None = None, dt: float = DT, speeds: tuple[float, float] = SPEEDS) -> Cell:
    """Makes the cell of the damped wave equation on a grid.

    Args:
        grid: the grid. Default: the most square one with H points.
        dt: the time step.
        speeds: the least and the largest wave speed; training starts at their mean.

    Raises:
        CellError: the time step is unstable for the largest speed (Courant, Friedrichs & Lewy 1928).
    """
    grid = grid or Grid()
    slow, fast = speeds
    grid.check_step(dt, max(abs(slow), abs(fast)))
    lap = grid.laplacian

    def wave(u, before, x, W, p):
        c = slow + (fast - slow) * sigmoid(p.c)
        waves = 2 * u - (1 - dt * p.b) * before + (dt * c) ** 2 * lap(u)
        return waves / (1 + dt * p.b) + W.source(x), u

    return Cell(
        wave,
        paper="Hughes et al. 2019",
        parameters="H*D + 2*H",
        init={"p.c": 0.0, "p.b": grid.damping, "W.source": grid.sources},
    )


wave = damped_wave()

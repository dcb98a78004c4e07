"""Maxwell's equations in a plane, with the electric field across it: Yee, IEEE Trans. Antennas Propag. 1966.

    ∂E/∂t = c² (∂H_y/∂x − ∂H_x/∂y) + source      ∂H_x/∂t = −∂E/∂y      ∂H_y/∂t = ∂E/∂x

    H_x, H_y at t+½ = H_x − dt ∂E_t/∂y, H_y + dt ∂E_t/∂x
    E_{t+1} = E_t + dt c² (∂H_y/∂x − ∂H_x/∂y) + W_source x_t,  with H at t+½

E lies on the points of the grid, H_x and H_y half a point ahead along y and along x, and H is half a step ahead in time. Fields are zero
beyond the grid: at the far sides E is, as at a conductor, at the near ones H. Trainable are the speed of light c of each point, between
the two of `speeds`, and the input matrix W_source. Stable for dt ≤ h / (√2 c).
"""

from cells.grammar.cell import Cell
from cells.grammar.functions import sigmoid
from cells.grammar.grid import Grid


def electric_field(grid: Grid | None = None, dt: float = 0.5, speeds: tuple[float, float] = (0.5, 1.0)) -> Cell:
    """Makes the cell of Maxwell's equations on a plane.

    Args:
        grid: the grid. Default: the most square one with H points.
        dt: the time step.
        speeds: the least and the largest speed of light; training starts at their mean.

    Raises:
        CellError: the time step is unstable for the largest speed, or the grid is no plane.
    """
    grid = grid or Grid()
    slow, fast = speeds
    grid.check_plane("the electric field is across it")
    grid.check_step(dt, max(abs(slow), abs(fast)))
    (ahead_x, behind_x), (ahead_y, behind_y) = ([grid.difference(axis, ahead) for ahead in (True, False)] for axis in (0, 1))

    def maxwell(e, hx, hy, x, W, p):
        c = slow + (fast - slow) * sigmoid(p.c)
        hx = hx - dt * ahead_y(e)
        hy = hy + dt * ahead_x(e)
        return e + dt * c**2 * (behind_x(hy) - behind_y(hx)) + W.source(x), hx, hy

    return Cell(maxwell, paper="Yee 1966", parameters="H*D + H", init={"p.c": 0.0, "W.source": grid.sources})


maxwell = electric_field()

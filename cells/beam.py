"""A beam, or a plate on a plane: Euler & Bernoulli c. 1750, Lagrange 1811; as sound synthesis has it (Bilbao 2009, ch. 7 and 12).

    ∂²u/∂t² = −k² ∇²∇²u + source

    u_{t+1} = 2 u_t − u_{t−1} − (k dt)² ∇²∇²u_t + W_source x_t

Discretized by central differences (`second_order`) on a line of H points, simply supported: u and ∇²u are zero beyond it. The dispersion
relation is ω = k q² for a wave number q: short waves run faster. Trainable are the stiffness k of each point, between the two of
`stiffness`, and the input matrix W_source. Stable for dt k (4 · axes) / h² ≤ 2.
"""

from cells.grammar.cell import Cell
from cells.grammar.field_equation import second_order
from cells.grammar.functions import sigmoid
from cells.grammar.grid import Grid


def stiff_field(grid: Grid, dt: float = 0.5, stiffness: tuple[float, float] = (0.5, 1.0)) -> Cell:
    """Makes the cell of a beam on a line, or of a plate on a plane.

    Args:
        grid: the grid.
        dt: the time step.
        stiffness: the least and the largest k; training starts at their mean.

    Raises:
        CellError: the time step is unstable for the largest stiffness.
    """
    least, most = stiffness
    grid.check_frequency(dt, max(abs(least), abs(most)) * grid.laplacian_bound)
    laplacian = grid.laplacian

    def beam(u, rate, lap, p):
        k = least + (most - least) * sigmoid(p.k)
        return -(k**2) * laplacian(lap)

    return second_order(beam, grid, dt, paper="Bilbao 2009", parameters="H*D + H", init={"p.k": 0.0})


beam = stiff_field(Grid(axes=1))

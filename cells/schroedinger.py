"""Schrödinger's equation for one particle: Schrödinger 1926, by the leapfrog of Visscher, Computers in Physics 1991.

    i ∂ψ/∂t = −½ ∇²ψ + V ψ          ψ = R + i I,  H = −½ ∇² + V

    R_{t+1} = R_t + dt H I_{t+½} + W_source x_t
    I_{t+3/2} = I_{t+½} − dt H R_{t+1}

The second line is a stencil of what the first one computes. The probability Σ R_t² + I_{t+½} I_{t−½} stays. On a line of H points, ψ is
zero beyond it. Trainable are the potential V of each point, between the two of `potentials`, and the input matrix W_source. Stable for
dt E ≤ 2, with the largest energy E = 2 · axes / h² + V.
"""

from cells.grammar.cell import Cell
from cells.grammar.functions import sigmoid
from cells.grammar.grid import Grid


def particle(grid: Grid, dt: float = 0.5, potentials: tuple[float, float] = (0.0, 1.0)) -> Cell:
    """Makes the cell of Schrödinger's equation on a grid.

    Args:
        grid: the grid.
        dt: the time step.
        potentials: the least and the largest potential; training starts at their mean.

    Raises:
        CellError: the time step is unstable for the largest energy.
    """
    low, high = potentials
    grid.check_frequency(dt, max(-low, -high, grid.laplacian_bound / 2 + max(low, high)))
    lap = grid.laplacian

    def schroedinger(re, im, x, W, p):
        potential = low + (high - low) * sigmoid(p.v)
        re = re + dt * (potential * im - 0.5 * lap(im)) + W.source(x)
        return re, im - dt * (potential * re - 0.5 * lap(re))

    return Cell(schroedinger, paper="Schrödinger 1926; Visscher 1991", parameters="H*D + H", init={"p.v": 0.0, "W.source": grid.sources})


schroedinger = particle(Grid(axes=1))

"""Files that hold no stencil and no wave equation: each gets one line that says what to write and ends with the user's line."""

import pytest

from tests.command_line import bench
from tests.test_wrong_cells import told

__all__ = ["bench"]

STENCIL = "from cells.grammar.stencil import Stencil\n\n\n"
WAVE = "from cells.grammar.field_equation import second_order\n\n\n"

WRONG = {
    "a stencil that squares": (
        STENCIL + "square = Stencil.from_operator('square', lambda f: f * f, 2)  # here\n",
        "square is not a stencil: a stencil gives each point a sum over itself and its neighbours, with fixed weights",
    ),
    "a stencil of nothing": (
        STENCIL + "none = Stencil.from_operator('none', lambda f: 0 * f, 2)  # here\n",
        "none is not a stencil: .* not all 0",
    ),
    "a stencil around the edge": (
        STENCIL + "round = Stencil.from_operator('round', lambda f: f.roll(1, 0), 1)  # here\n",
        "round is not a stencil: .* zeros beyond the grid",
    ),
    "a wave that divides by its rate": (
        WAVE + "def mine(u, rate, lap, p):\n    return lap / rate  # here\n\n\nmine = second_order(mine)\n",
        r"divides by u_t: central differences are solved for an equation that is linear in it, as a \+ k \* u_t",
    ),
    "a wave that asks for its rate": (
        WAVE + "def mine(u, rate, lap, p):\n    return where(rate > 0, lap, u)  # here\n\n\nmine = second_order(mine)\n",
        "compares u_t: central differences",
    ),
    "a wave in a function": (
        WAVE + "def mine(u, rate, lap, p):\n    return lap - maximum(lap, rate)  # here\n\n\nmine = second_order(mine)\n",
        "maximum takes values, not a Rate: central differences",
    ),
    "a wave of nothing": (
        WAVE + "def mine(u, rate, lap, p):  # here\n    lap - u\n\n\nmine = second_order(mine)\n",
        "returns a NoneType, not a value: return u_tt",
    ),
    "a wave that stands": (
        WAVE + "mine = second_order(lambda u, rate, lap, p: lap, dt=0)  # here\n",
        "a time step is a positive number: not dt=0",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_waves(bench, tmp_path, name):
    told(bench, tmp_path, *WRONG[name])

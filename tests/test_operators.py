"""grad, curl and div on a staggered grid: the identities, exactly; and the stencils that are made of them."""

import math

import pytest
import torch

from cells.grammar.errors import CellError
from cells.grammar.grid import Grid
from cells.grammar.operators import curl, difference, div, grad, laplacian
from cells.grammar.stencil import Stencil, squarest_shape

SHAPES = [(4, 5, 6), (2, 3, 9), (3, 4, 5, 6)]
"""The last with a batch."""

AXES = [pytest.param(wall, id="wall" if wall else "open") for wall in (False, True)]
EPS = {torch.float32: 2**-23, torch.float64: 2**-52}


def vector(places: list[tuple[int, ...]], dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    """A field whose components are as large as the operators make them from scalars on a box."""
    drawn = [torch.randint(-1000, 1000, place) for place in places]
    return tuple(d.to(dtype) if dtype == torch.int64 else torch.randn(d.shape, dtype=dtype) for d in drawn)


def edges(shape: tuple[int, ...], wall: bool, dtype: torch.dtype) -> tuple[torch.Tensor, ...]:
    sign = 1 if wall else -1
    return vector([(*shape[:-3], *(n + sign * (k == axis) for k, n in enumerate(shape[-3:]))) for axis in range(3)], dtype)


@pytest.mark.parametrize("wall", AXES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_whole_numbers_to_the_bit(shape, wall):
    f = torch.randint(-1000, 1000, shape)
    assert all(not part.any() for part in curl(grad(f, wall=wall), wall=wall))
    assert not div(curl(edges(shape, wall, torch.int64), wall=wall), wall=wall).any()


@pytest.mark.parametrize("wall", AXES)
@pytest.mark.parametrize("dtype", EPS, ids=str)
def test_real_numbers_to_rounding(dtype, wall):
    """With a spacing that isn't a power of 2: a handful of roundings of what is added up, over h²."""
    h, f = 0.3, torch.randn(5, 6, 7, dtype=dtype)
    largest = 16 * EPS[dtype] * 8 / h**2
    assert max(part.abs().max() for part in curl(grad(f, h=h, wall=wall), h=h, wall=wall)) < largest * f.abs().max()
    v = edges((5, 6, 7), wall, dtype)
    assert div(curl(v, h=h, wall=wall), h=h, wall=wall).abs().max() < largest * max(part.abs().max() for part in v)


def test_in_the_plane():
    f = torch.randint(-1000, 1000, (6, 7))
    assert not curl(grad(f, dims=2))[0].any()
    with pytest.raises(ValueError, match="2 or 3 components, not 1"):
        curl((f,))


def inner(v, w):
    return sum((a * b).sum() for a, b in zip(v, w, strict=True))


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_div_is_minus_the_transpose_of_grad(dims):
    """Both ways round, on whole numbers: summation by parts without an error."""
    shape = (5, 6, 7)[:dims]
    f = torch.randint(-1000, 1000, shape)
    for wall in (False, True):
        v = tuple(torch.randint(-1000, 1000, part.shape) for part in grad(f, dims, wall=wall))
        assert (div(v, wall=not wall) * f).sum() == -inner(v, grad(f, dims, wall=wall))


def test_curl_is_the_transpose_of_curl():
    v = edges((5, 6, 7), False, torch.int64)
    w = tuple(torch.randint(-1000, 1000, part.shape) for part in curl(v))
    assert inner(curl(v), w) == inner(v, curl(w, wall=True))


@pytest.mark.parametrize("shape", [(7,), (5, 6), (1, 17), (3, 4, 5)], ids=str)
def test_the_stencil_is_div_grad(shape):
    """To the bit on whole numbers, at the walls too."""
    lap = Grid(shape).laplacian
    f = torch.randint(-1000, 1000, (2, *shape)).double()
    assert torch.equal(lap(f.flatten(1)), laplacian(f, dims=len(shape)).flatten(1))
    assert lap.grid(f[0].numel()) == shape and len(lap.taps) == 2 * len(shape) + 1


@pytest.mark.parametrize("H", [1, 2, 12, 17, 256])
def test_transposed(H):
    """A stencil that is not symmetric, on a grid that no shape is said of."""
    upwind = Stencil("up", (((0, 0), 3.0), ((-1, 0), -1.0), ((0, 1), 0.25), ((1, -1), 2.0)))
    u, v = torch.randn(2, H, dtype=torch.float64)
    assert torch.allclose((upwind(u) * v).sum(), (u * upwind.transposed(v)).sum(), rtol=1e-12)
    matrix = upwind(torch.eye(H, dtype=torch.float64)).T
    assert torch.equal(matrix.T, upwind.transposed(torch.eye(H, dtype=torch.float64)).T)
    assert torch.allclose(torch.autograd.functional.jacobian(upwind, u), matrix)


def test_squares():
    assert [squarest_shape(H) for H in (1, 2, 17, 36, 256, 1000)] == [(1, 1), (1, 2), (1, 17), (6, 6), (16, 16), (25, 40)]


def test_a_grid_of_another_size():
    with pytest.raises(CellError, match="lap needs a grid of 3×4 = 12 units, not 13"):
        Grid((3, 4)).laplacian(torch.zeros(13))


@pytest.mark.parametrize("shape", [(0,), (-1, 4), (3, 0), (2.0, 3), (True, 3), ("3", 4), 5, [3, 4], "34", (torch.tensor(3),)], ids=str)
def test_a_shape_of_no_grid(shape):
    with pytest.raises(CellError, match=r"tuple of whole numbers of points from 1 on, as \(32, 32\), not"):
        Grid(shape)


@pytest.mark.parametrize("facts", [{"h": 0.0}, {"h": -1.0}, {"h": math.nan}, {"h": math.inf}, {"border": -1}, {"border": 1.5}, {"axes": 0}])
def test_a_number_of_no_grid(facts):
    ((name, value),) = facts.items()
    with pytest.raises(CellError, match=f"a positive h apart, not {value}" if name == "h" else f"{name}={value}"):
        Grid(**facts)


def test_difference_over_its_distance():
    f = torch.tensor([1.0, 3.0, 6.0])
    assert difference(f, -1, h=0.5).tolist() == [4.0, 6.0]
    assert difference(f, -1, wall=True).tolist() == [1.0, 2.0, 3.0, -6.0]


def test_the_border_absorbs():
    """By hand: nothing inside, the full damping one point beyond the last, and squares that add up in a corner."""
    b = torch.empty(16 * 24)
    Grid((16, 24), border=2, absorbing=4.0, power=2.0).damping(b)
    b = b.view(16, 24)
    assert not b[2:-2, 2:-2].any() and b[0, 12] == 4.0 and b[1, 12] == 1.0 and b[-1, 12] == 4.0
    assert torch.allclose(b[0, 0], torch.tensor(32.0).sqrt()) and torch.equal(b, b.flip(0, 1))

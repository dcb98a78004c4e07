"""The operators grad, curl and div on a staggered grid, where the identities between them hold exactly (Yee 1966; Bossavit; Hirani).

A scalar lies on the nodes of a box of cells, a gradient on the edges, a curl on the faces, a divergence in the cells. Each operator
consists of differences of neighbours, which commute: curl grad = 0 and div curl = 0, exactly for integer values.

    nodes  ── grad ──→  edges  ── curl ──→  faces  ── div ──→  cells          and back, with `wall`:
    nodes  ←── div ──   edges  ←── curl ──  faces  ←── grad ── cells

With `wall` a field is zero beyond the grid, so an axis has one more difference than values. The lower row is then the transpose of the
upper one: ⟨div E, f⟩ = −⟨E, grad f⟩, ⟨curl E, F⟩ = ⟨E, curl F⟩. The Laplacian is div grad of a scalar in the cells.

A scalar is a tensor (…, X, Y) or (…, X, Y, Z). A vector field is a tuple of its components along the axes, each with the shape of the
places that it lies on. `h` is the distance of neighbours.
"""

import torch
from torch import Tensor

Vector = tuple[Tensor, ...]


def difference(f: Tensor, axis: int, h: float = 1.0, wall: bool = False) -> Tensor:
    """Computes (f_{i+1} − f_i) / h along an axis: one value fewer than f has or, with `wall`, one more."""
    if wall:
        beyond = torch.zeros_like(f.narrow(axis, 0, 1))
        f = torch.cat([beyond, f, beyond], axis)
    count = f.shape[axis] - 1
    found = f.narrow(axis, 1, count) - f.narrow(axis, 0, count)
    return found if h == 1 else found / h


def grad(f: Tensor, dims: int = 3, h: float = 1.0, wall: bool = False) -> Vector:
    """Computes the gradient of a scalar on its last `dims` axes."""
    return tuple(difference(f, axis - dims, h, wall) for axis in range(dims))


def div(v: Vector, h: float = 1.0, wall: bool = False) -> Tensor:
    """Computes the divergence of a vector field with one component for each axis of the grid."""
    parts = [difference(part, axis - len(v), h, wall) for axis, part in enumerate(v)]
    return sum(parts[1:], parts[0])


def curl(v: Vector, h: float = 1.0, wall: bool = False) -> Vector:
    """Computes the curl of a field with three components, or the component normal to the plane for a field with two."""
    if len(v) == 2:
        return (difference(v[1], -2, h, wall) - difference(v[0], -1, h, wall),)
    if len(v) != 3:
        raise ValueError(f"a curl is of a field with 2 or 3 components, not {len(v)}")
    cyclic = ((1, 2), (2, 0), (0, 1))
    return tuple(difference(v[k], j - 3, h, wall) - difference(v[j], k - 3, h, wall) for j, k in cyclic)


def laplacian(f: Tensor, dims: int = 3, h: float = 1.0) -> Tensor:
    """Computes div grad of a scalar that is zero beyond the grid; the result has the same shape."""
    return div(grad(f, dims, h, wall=True), h)

"""Products with block-diagonal matrices, which hold a row of a block in place of a row of the matrix: (P·H, n) for P matrices of
heads · n = H units. A whole matrix is one block, n = H. A NaN of one head reaches no other one.
"""

import torch
from torch import Tensor


def multiply(operand: Tensor, weight: Tensor) -> Tensor:
    """Returns the products (N, P·H) of an operand (N, H) with the matrices."""
    N, H = operand.shape
    n = weight.shape[1]
    if n == H:
        return operand @ weight.t()
    return torch.einsum("bhk,phjk->bphj", operand.view(N, H // n, n), weight.view(-1, H // n, n, n)).reshape(N, len(weight))


def multiply_transposed(d: Tensor, weight: Tensor, H: int) -> Tensor:
    """Returns the products (N, H) of gradients (N, P·H) with the transposed matrices, added up."""
    n = weight.shape[1]
    if n == H:
        return d @ weight
    return torch.einsum("bphj,phjk->bhk", d.reshape(len(d), d.shape[1] // H, H // n, n), weight.view(-1, H // n, n, n)).reshape(len(d), H)


def outer_products(d: Tensor, operand: Tensor, n: int) -> Tensor:
    """Returns the gradient (P·H, n) of the matrices from those of their products (N, P·H) and the operand (N, H)."""
    N, H = operand.shape
    if n == H:
        return d.t() @ operand
    return torch.einsum("bphj,bhk->phjk", d.reshape(N, d.shape[1] // H, H // n, n), operand.reshape(N, H // n, n)).reshape(-1, n)


def expand(weight: Tensor, H: int) -> Tensor:
    """Returns the whole matrices (P·H, H)."""
    n = weight.shape[1]
    if n == H:
        return weight
    heads = torch.arange(H // n, device=weight.device)  # ONNX Runtime has no torch.eye of this dtype
    own = (heads.unsqueeze(1) == heads).view(1, H // n, 1, H // n, 1)
    return torch.where(own, weight.view(-1, H // n, n, 1, n), weight.new_zeros(())).reshape(-1, H)


def compress(whole: Tensor, n: int) -> Tensor:
    """Returns the blocks (P·H, n) of whole matrices (P·H, H)."""
    H = whole.shape[1]
    if n == H:
        return whole
    return whole.view(-1, H // n, n, H // n, n).diagonal(dim1=1, dim2=3).permute(0, 3, 1, 2).reshape(-1, n)

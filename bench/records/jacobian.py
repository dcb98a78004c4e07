"""Singular values of a cell's Jacobians over lag."""

from typing import Literal

from pydantic import Field

from bench.records.model import Model


class Spectrum(Model):
    """Of a Jacobian at each lag: `values[i]` all singular values at the i-th, the largest first, and `mean_square[i]` their mean square.
    Where a Jacobian was too large to be written out, there are no `values`, and the mean square is estimated from products with
    random vectors. Values below a rounding error of the largest say no more than that they are small."""

    values: list[list[float]] = Field(default_factory=list)
    mean_square: list[float]


class JacobianRecord(Model):
    """Jacobians of one cell along one sequence of T standard normal inputs, at the initialisation `init`.

    At each of `lags`, k: `state` is of ∂s_T/∂s_{T-k}, s all states of the cell, from k = 0, where it is the identity; `input` of
    ∂h_T/∂x_{T-k}, for all lags but k = T, which no input has. `probes` is the number of random vectors, 0 where there are none.
    """

    kind: Literal["jacobian"] = "jacobian"
    cell: str
    T: int
    D: int
    H: int
    dtype: str
    seed: int
    init: str
    backend: str
    lags: list[int]
    state: Spectrum
    input: Spectrum
    probes: int = 0

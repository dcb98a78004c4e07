"""Singular values of a cell's Jacobians over lag."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size


class Spectrum(Model):
    """The spectrum of a Jacobian at each lag: `values[i]` has all singular values at the i-th, largest first, and `mean_square[i]` their
    mean square. Where a Jacobian was too large to be written out, there are no `values`, and the mean square is estimated from products
    with random vectors. Values below a rounding error of the largest say no more than that they are small."""

    values: list[list[float]] = Field(default_factory=list)
    mean_square: list[float]


class JacobianRecord(Model):
    """Jacobians of one cell along one sequence of T standard normal inputs, at the initialisation `init`.

    At each of `lags`, k: `state` is of ∂s_T/∂s_{T-k}, s all states of the cell, from k = 0, where it is the identity; `input` of
    ∂h_T/∂x_{T-k}, for all lags but k = T, which no input has, and `latent`, at the same, of ∂h_T/∂z_{T-k}, z what the cell makes of x
    alone (MinimalRNN's z = Φ(x)); None where it has no such value. `probes` is the number of random vectors, 0 where there are none.
    """

    kind: Literal["jacobian"] = "jacobian"
    cell: Name
    T: Size
    D: Size
    H: Size
    dtype: Name
    seed: int
    init: Name
    backend: Name
    lags: list[int] = Field(min_length=2)
    state: Spectrum
    input: Spectrum
    latent: Spectrum | None = None
    probes: int = 0

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        for spectrum, count in ((self.state, len(self.lags)), (self.input, len(self.lags) - 1), (self.latent, len(self.lags) - 1)):
            if spectrum and (len(spectrum.mean_square) != count or len(spectrum.values) not in (0, count)):
                raise ValueError("a spectrum is not as long as its lags")
        return self

"""The record of the singular values of a cell's Jacobians over lag."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size


class Spectrum(Model):
    """The spectrum of a Jacobian at each lag.

    Attributes:
        values: All singular values at each lag, largest first. Empty if the Jacobian was too large to compute. Values below a rounding
            error of the largest are only known to be small.
        mean_square: The mean square of the singular values at each lag; without `values`, an estimate from products with random vectors.
    """

    values: list[list[float]] = Field(default_factory=list)
    mean_square: list[float]


class JacobianRecord(Model):
    """Jacobians of one cell along one sequence of T standard normal inputs, at the initialisation `init`.

    Attributes:
        lags: The lags k.
        state: The spectrum of ∂s_T/∂s_{T-k}, where s holds all states of the cell. It is the identity at k = 0.
        input: The spectrum of ∂h_T/∂x_{T-k}, at all lags except k = T, which has no input.
        latent: The spectrum of ∂h_T/∂z_{T-k} at the same lags, where z is the only value that the cell computes from x alone (MinimalRNN's
            z = Φ(x)); None without such a value.
        probes: The number of random vectors; 0 for exact spectra.
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

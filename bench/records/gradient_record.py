"""Gradient norms of one cell at one length."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size


class GradientRecord(Model):
    """Gradient norms of one cell at one length, from a fixed seed, at the initialisation `init` or with the weights of a checkpoint that
    it names. `loss` states L in words.

    `by_lag[i]` is the mean over sequences of ‖∂L_b/∂s_{T-k}‖ at k = `lags[i]`, or k = i where there are no `lags`, up to k = T, where s
    holds all states of the cell (h, and c of an LSTM): the last is that of the initial states. `errors` are, at the same lags, the
    distance of these gradients from those of the same numbers in float64, over the norm of the latter. `parameters` are the norms of
    ∂L/∂(a learned value), L the mean of L_b, by name. `non_finite` counts the entries of all these gradients that are not finite; they
    are left out of the norms. `backend` is what ran.
    """

    kind: Literal["gradients"] = "gradients"
    cell: Name
    T: Size
    B: Size
    D: Size
    H: Size
    dtype: Name
    seed: int
    loss: str
    by_lag: list[float]
    parameters: dict[str, float]
    non_finite: int = 0
    init: str = "default"
    backend: str = "eager"
    lags: list[int] = Field(default_factory=list)
    errors: list[float] = Field(default_factory=list)

    @property
    def steps(self) -> list[int]:
        """The lags of `by_lag`."""
        return self.lags or list(range(len(self.by_lag)))

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        for name in ("lags", "errors"):
            if getattr(self, name) and len(getattr(self, name)) != len(self.by_lag):
                raise ValueError(f"{name} are not as many as by_lag")
        return self

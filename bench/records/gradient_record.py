"""The record of the gradient norms of one cell at one length."""

from typing import Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size, check_same_length


class GradientRecord(Model):
    """Gradient norms of one cell at one length, from a fixed seed.

    Attributes:
        init: The initialisation, or the checkpoint that the weights come from.
        loss: The loss L in words.
        by_lag: The mean over sequences of ‖∂L_b/∂s_{T-k}‖ at each lag k of `lags` (0, 1, … without `lags`) up to k = T. s holds all states
            of the cell (h, and c of an LSTM), so the last entry is the gradient of the initial states.
        errors: At the same lags, the distance of these gradients from those in float64, divided by the norm of the latter.
        parameters: The norm of ∂L/∂p for each trainable parameter p by name. L is the mean of L_b.
        non_finite: The number of NaN or Inf entries in all gradients. They are left out of the norms.
        backend: The backend that ran.
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
        """Returns the lags of `by_lag`."""
        return self.lags or list(range(len(self.by_lag)))

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        check_same_length("by_lag, lags and errors", self.by_lag, *(values for values in (self.lags, self.errors) if values))
        return self

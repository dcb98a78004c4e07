"""The record of how many iterations solve all time steps of a cell at once."""

from typing import Annotated, Literal

from pydantic import Field

from bench.records.base_record import Model, Name, Size

Counts = Annotated[list[int | None], Field(min_length=1)]


class ParallelRecord(Model):
    """Newton's method over time for one cell along sequences of standard normal inputs, or for trained weights of those of the task.

    Attributes:
        init: The initialisation.
        scale: The factor of the recurrent matrices.
        tolerances: The errors to reach: the largest deviation from the states or gradients of a sequential pass in the same dtype, over
            the largest of them.
        states: The iterations that reach each tolerance with the derivatives that stay within a unit; None if the budget doesn't.
        gradients: The same for the gradients of the terms.
        full: The same as `states` with all derivatives; empty if that was not measured.
        budget: The largest number of iterations.
        exponent: The largest Lyapunov exponent along the first sequence, in nats per step.
        coupling: The share of the mean square of a step's derivatives that is between different units.
        rate: The predicted factor of an error in one iteration.
        chi: The growth of a gradient's mean square per step by mean-field theory; None where there is none, and in older records.
    """

    kind: Literal["parallel"] = "parallel"
    cell: Name
    T: Size
    B: Size
    D: Size
    H: Size
    dtype: Name
    seed: int
    init: Name
    scale: float = Field(gt=0, allow_inf_nan=False)
    tolerances: list[float] = Field(min_length=1)
    states: Counts
    gradients: Counts
    full: list[int | None] = Field(default_factory=list)
    budget: Size
    exponent: float
    coupling: float
    rate: float
    chi: float | None = None

"""The record of a prediction of mean-field theory and of its measurement."""

from typing import Annotated, Literal

from pydantic import Field

from bench.records.base_record import Model, Name, Size

Finite = Annotated[float, Field(ge=-700, le=700)]
"""A logarithm whose exponential is finite in float64."""


class TheoryRecord(Model):
    """A cell at one point of its parameters.

    Attributes:
        init: The initialisation whose point this is; "" for another point, and in older records.
        w: σ of the matrices of the state.
        v: σ of the matrices of the input.
        mu: The bias of the gate that keeps the state.
        phi: σ of Φ.
        N: The width of the measured network.
        q: The predicted variance of a pre-activation.
        Q: The predicted mean square of h.
        chi: The predicted growth of E‖∂L/∂s‖² per step.
        xi: The time scale −1/ln χ(c*) in steps, at the correlation c* that two sequences tend to; chi is at c = 1.
        untied: The measured ln of the growth of a perturbation's mean square per step, with weights drawn anew for every step.
        tied: The same with constant weights, as in a network.
    """

    kind: Literal["theory"] = "theory"
    cell: Name
    init: Name = ""
    w: float
    v: float
    mu: float
    phi: float
    N: Size
    seed: int
    q: float
    Q: float
    chi: float = Field(gt=0, allow_inf_nan=False)
    xi: float
    untied: list[Finite] = Field(min_length=1)
    tied: list[Finite] = Field(default_factory=list)

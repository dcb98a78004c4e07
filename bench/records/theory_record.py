"""The predictions of mean-field theory for a cell, and what was measured."""

from typing import Annotated, Literal

from pydantic import Field

from bench.records.base_record import Model, Name, Size

Finite = Annotated[float, Field(ge=-700, le=700)]
"""Of which exp is a number."""


class TheoryRecord(Model):
    """A cell at one point of its parameters: σ of the matrices of the state `w`, of the input `v`, of Φ `phi`, and the bias `mu` of the
    gate that keeps the state.

    Predicted: `q`, variance of a pre-activation; `Q`, mean square of h; `chi`, growth of E‖∂L/∂s‖² a step; `xi`, the time scale
    −1/ln χ in steps. Measured at width N with weights drawn anew for every step: `untied`, ln of the growth of a perturbation's mean
    square in each of the steps measured; `tied`, the same with weights that stay, as in a network.
    """

    kind: Literal["theory"] = "theory"
    cell: Name
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

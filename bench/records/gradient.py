"""Gradient norms of one cell at one length."""

from typing import Literal

from bench.records.model import Model, Name, Size


class GradientRecord(Model):
    """Gradient norms of one cell at one length, at its initialisation, from a fixed seed. `loss` states L in words.

    `by_lag[k]` is the mean over sequences of ‖∂L_b/∂s_{T-k}‖, k = 0 … T, where s holds all states of the cell (h, and c of an
    LSTM): the last is that of the initial states. `parameters` are the norms of ∂L/∂(a learned value), L the mean of L_b, by
    name. `non_finite` counts the entries of all these gradients that are not finite; they are left out of the norms.
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

"""The record of a training: its curve, its final metric, and what the trained model does."""

from typing import Any, Literal

from pydantic import Field

from bench.records.base_record import Model

End = Literal["target", "stopped", "steps", "time", "diverged"]
"""Why a training ended: its target was reached, no better result in so many looks, all steps done, no time left, or the loss or a
gradient was no longer finite."""


class Point(Model):
    """A look at the validation data: after so many steps, and `seconds` of training; `loss` is the mean over the steps since the last one,
    None before the first.

    Seconds are the wall time of the steps, data and all, without evaluations and without the steps of other trainings. A step during which
    the process was stopped (Ctrl-Z, a machine put to sleep) counts as the median step since the last look; see `paused` of the record."""

    seconds: float
    step: int
    loss: float | None
    value: float


class Trial(Model):
    """One training: a cell of width `H`, a seed, the learning rate of Adam that it begins with, and at most so many steps. `equal` says
    what all cells of a comparison share: the width, or the parameters of the recurrent layer. `examples` is of a task that comes in
    several sizes."""

    task: str
    cell: str
    H: int
    equal: Literal["hidden", "parameters"] = "hidden"
    seed: int
    rate: float
    steps: int
    examples: int = 0

    @property
    def key(self) -> tuple[object, ...]:
        """Return what identifies the training: all but its rate and its steps. A training of the same key resumes it."""
        return self.task, self.cell, self.H, self.equal, self.seed, self.examples


class TrainingRecord(Model):
    """A trial and its outcome. `metric` in words, better if `higher`; `final` is its value on the test data, by the model of the best look.

    `parameters` are all of the model's, `recurrent` those of its recurrent layer, whose input is `D` wide; `backend` is what ran it, and
    `error` how far that is from the equations in float64, output or gradient, checked before. `search` has the best validation value by
    learning rate where there was a search. `paused` are seconds that steps lasted while the process was stopped, which no other number
    has in it. `clipped` of the steps had a gradient norm above the limit, `largest` is the largest norm.
    `baselines` are reached without a recurrent layer.
    """

    kind: Literal["training"] = "training"
    trial: Trial
    metric: str
    higher: bool
    target: float | None
    D: int
    parameters: int
    recurrent: int
    backend: str
    error: float
    curve: list[Point]
    final: float
    end: End
    steps: int
    seconds: float
    paused: float = 0.0
    clipped: int
    largest: float
    baselines: dict[str, float] = Field(default_factory=dict)
    extras: dict[str, float] = Field(default_factory=dict)
    search: dict[str, float] = Field(default_factory=dict)
    sizes: dict[str, Any] = Field(default_factory=dict)


class Gate(Model):
    """How far a gate is open over time: the 10%, 50% and 90% quantiles over sequences and units, by step."""

    name: str
    low: list[float]
    middle: list[float]
    high: list[float]


class Plane(Model):
    """A map that is learned over a plane: a value for each point, row by row, and where some points of interest are, (row, column) by
    name."""

    name: str
    values: list[list[float]]
    points: dict[str, tuple[int, int]]


class LearnedRecord(Model):
    """The behaviour of a trained layer on validation data.

    `own`, `neighbours` and `input` share out the first-order variance of a unit's next state: ∂s_i/∂v squared times the variance of v,
    summed over v: the unit's own states, those of all other units, and the input; mean over units, sequences and steps. `trajectories`
    are outputs over time, of some units of one sequence. `noise` has the metric on the test data by the deviation of noise added to inputs
    and, at every step, to states, over that of the inputs and of the outputs. `field` is what it has learned over a plane, if it has.
    """

    kind: Literal["learned"] = "learned"
    trial: Trial
    own: float
    neighbours: float
    input: float
    gates: list[Gate]
    trajectories: list[list[float]]
    noise: dict[str, float]
    field: Plane | None = None

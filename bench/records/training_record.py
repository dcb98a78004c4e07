"""The records of a training (its curve and final metric) and of the trained model."""

from typing import Any, Literal

from pydantic import Field

from bench.records.base_record import Model

End = Literal["target", "stopped", "steps", "time", "diverged", "incorrect"]
"""Why a training ended: its target was reached, no improvement in several evaluations, all steps done, no time left, or a non-finite loss
or gradient. "incorrect" is not written: it is read where the error of a layer exceeds its tolerance."""


class Point(Model):
    """An evaluation on the validation data.

    Attributes:
        seconds: Training time so far, including data, without evaluations and without the steps of other trainings. A step during which the
            process was stopped counts as the median step since the last evaluation (see `paused`).
        step: The number of steps so far.
        loss: The mean loss since the last evaluation; None for the first.
        value: The metric.
        norm: The largest norm of the gradient before clipping since the last evaluation; None for the first, and in older records.
    """

    seconds: float
    step: int
    loss: float | None
    value: float
    norm: float | None = None


class Trial(Model):
    """One training.

    Attributes:
        H: The hidden width.
        equal: What all compared cells share: the width, or the parameter count of the recurrent layer.
        rate: The initial learning rate of Adam.
        steps: The largest number of steps.
        examples: The size of the training data, for tasks with several sizes.
    """

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
        """Returns what identifies a training: all fields except rate and steps. A training with the same key resumes it."""
        return self.task, self.cell, self.H, self.equal, self.seed, self.examples


class InputJacobian(Model):
    """The Jacobian ∂h_T/∂x_{T-k} on a sequence of validation data, after some training steps.

    Attributes:
        lags: The lags k.
        mean_square: The mean square of the singular values at each lag.
        largest: The largest singular value at each lag; empty for a wide layer.
    """

    step: int
    lags: list[int]
    mean_square: list[float]
    largest: list[float] = Field(default_factory=list)


class TrainingRecord(Model):
    """A trial and its outcome.

    Attributes:
        metric: The name of the metric.
        higher: Whether higher is better.
        target: The value at which the training stops.
        D: The input width of the recurrent layer.
        parameters: The number of parameters of the model, its recurrent layer counted by its equations.
        recurrent: The number of parameters of the recurrent layer's equations.
        layer: The number of parameters of the layer itself, which has torch's second biases for a cell of torch.nn; 0 in older records.
        backend: The backend that ran.
        error: The largest error of outputs and gradients against float64, checked before the training.
        final: The metric on the test data, by the model of the best evaluation.
        paused: Seconds that the process was stopped during steps. No other number includes them.
        clipped: The number of steps whose gradient norm exceeded the limit.
        largest: The largest gradient norm before clipping; infinite if one was not finite.
        baselines: The metric of methods without a recurrent layer on the test data, by name.
        expected: Their expected metric, in records of schemas 1 to 4 that did not measure it on the test data.
        search: The best validation value by learning rate, after a search.
        jacobians: The Jacobians of the first seeds at the start, about the middle and the end of the training.
    """

    kind: Literal["training"] = "training"
    trial: Trial
    metric: str
    higher: bool
    target: float | None
    D: int
    parameters: int
    recurrent: int
    layer: int = 0
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
    expected: dict[str, float] = Field(default_factory=dict)
    extras: dict[str, float] = Field(default_factory=dict)
    search: dict[str, float] = Field(default_factory=dict)
    sizes: dict[str, Any] = Field(default_factory=dict)
    jacobians: list[InputJacobian] = Field(default_factory=list)


class Gate(Model):
    """The opening of a gate over time: the 10%, 50% and 90% quantiles over sequences and units, for each step."""

    name: str
    low: list[float]
    middle: list[float]
    high: list[float]


class Plane(Model):
    """A trained map over a plane.

    Attributes:
        values: The value of each point, row by row.
        points: The (row, column) of points of interest, by name.
    """

    name: str
    values: list[list[float]]
    points: dict[str, tuple[int, int]]


class LearnedRecord(Model):
    """The behaviour of a trained layer on validation data.

    Attributes:
        own: The share of the first-order variance of a unit's next state that comes from its own states. The variance due to v is
            (∂s_i/∂v)² times the variance of v; shares are means over units, sequences and steps.
        neighbours: The share of all other units.
        input: The share of the input.
        trajectories: Outputs over time of some units of one sequence.
        noise: The metric on the test data by noise: the deviation of noise added to the inputs or, at every step, to the states, relative
            to that of inputs or outputs.
        field: The trained map over a plane, if the model has one.
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

"""The growth of a small difference between two trajectories of a cell without input."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size

Finite = Annotated[float, Field(allow_inf_nan=False)]


class MapRecord(Model):
    """One of the chaotic maps of Laurent & von Brecht (2017): a cell of two units with given weights, without input or biases.

    `exponents`: the largest Lyapunov exponent, in nats per step, for each of `seeds`, each over its own `starts` starting points and
    `steps` steps. Their protocol: of `copies` within ±`epsilon` of one point, `cloud` has where the first thousands of them
    are after `iterations` steps; `distance[i]` is how far apart two of them are after `times[i]` steps.
    """

    kind: Literal["map"] = "map"
    name: Name
    cell: Name
    weights: dict[str, list[list[float]]]
    seeds: list[int]
    starts: int
    steps: int
    exponents: list[Finite] = Field(min_length=1)
    epsilon: float
    copies: int
    iterations: int
    cloud: list[tuple[Finite, Finite]] = Field(min_length=1)
    times: list[int]
    distance: list[float]

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        if not len(self.times) == len(self.distance):
            raise ValueError("what was followed is not as long as its times")
        return self


class DecayRecord(Model):
    """A cell of H units without input, at the initialisation `init`, B trajectories from standard normal states, over T steps.

    `exponent`: nats per step by which a small difference grows, a value for each trajectory. At each of `times`: `norm`, the mean of
    ‖h‖/√H, and `distance`, the mean distance, over √H, of pairs that began independently. Nothing is kept from where the square of
    a state is too large for float64, in `lost` trajectories by then.
    """

    kind: Literal["decay"] = "decay"
    cell: Name
    init: Name
    T: Size
    B: Size
    H: Size
    seed: int
    exponent: list[float]
    times: list[int]
    norm: list[float]
    distance: list[float]
    lost: int = 0

    @model_validator(mode="after")
    def check_lengths(self) -> Self:
        if not len(self.times) == len(self.norm) == len(self.distance):
            raise ValueError("what was followed is not as long as its times")
        return self

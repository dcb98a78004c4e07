"""Records of the growth of a small difference between two trajectories of a cell without input."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.records.base_record import Model, Name, Size, check_same_length

Finite = Annotated[float, Field(allow_inf_nan=False)]


class MapRecord(Model):
    """One of the chaotic maps of Laurent & von Brecht (2017): a cell of two units with given weights, without input or biases.

    Attributes:
        exponents: The largest Lyapunov exponent in nats per step, for each of `seeds`, over `starts` starting points and `steps` steps.
        copies: The number of points that start within ±`epsilon` of one point, as in the paper.
        cloud: The first thousands of these points after `iterations` steps.
        distance: The distance of two of them after each of `times` steps.
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
        check_same_length("times and distance", self.times, self.distance)
        return self


class DecayRecord(Model):
    """A cell of H units without input at the initialisation `init`: B trajectories of T steps from standard normal states.

    Attributes:
        exponent: The growth of a small difference in nats per step, for each trajectory: infinite if it overflows. Where trajectories are
            lost it is that of the steps before; older records have none then.
        norm: The mean of ‖h‖/√H at each of `times`.
        distance: The mean distance, divided by √H, of pairs that start independently, at each of `times`.
        lost: The number of trajectories whose squared state exceeded float64. The lists end there.
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
        check_same_length("times, norm and distance", self.times, self.norm, self.distance)
        return self

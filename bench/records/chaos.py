"""What becomes of a small difference between two trajectories of a cell without input."""

from typing import Literal

from bench.records.model import Model


class MapRecord(Model):
    """One of the chaotic maps of Laurent & von Brecht (2017): a cell of two units with given weights, without input or biases.

    `exponents`: the largest Lyapunov exponent, in nats per step, for each of `seeds`, each over its own `starts` starting points and
    `steps` steps. Their protocol: of `copies` within ±`epsilon` of one point, `cloud` has where the first thousands of them
    are after `iterations` steps; `distance[i]` is how far apart two of them are after `times[i]` steps.
    """

    kind: Literal["map"] = "map"
    name: str
    cell: str
    weights: dict[str, list[list[float]]]
    seeds: list[int]
    starts: int
    steps: int
    exponents: list[float]
    epsilon: float
    copies: int
    iterations: int
    cloud: list[tuple[float, float]]
    times: list[int]
    distance: list[float]


class DecayRecord(Model):
    """A cell of H units without input, at the initialisation `init`, B trajectories from standard normal states, over T steps.

    `exponent`: nats per step by which a small difference grows, a value for each trajectory. At each of `times`: `norm`, the mean of
    ‖h‖/√H, and `distance`, the mean distance, over √H, of pairs that began independently. Nothing is kept from where the square of
    a state is too large for float64, in `lost` trajectories by then.
    """

    kind: Literal["decay"] = "decay"
    cell: str
    init: str
    T: int
    B: int
    H: int
    seed: int
    exponent: list[float]
    times: list[int]
    norm: list[float]
    distance: list[float]
    lost: int = 0

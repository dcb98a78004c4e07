"""Ranks cells by a quantity with intervals, and says which of them are not told apart from the first."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from bench.analysis.median_ci import Estimate


@dataclass(frozen=True)
class Ranking:
    """The order of some names.

    Attributes:
        order: The names, the best first.
        near: The other names whose intervals overlap with that of the first.
        ranked: Whether there are several names and all of them have an interval.
    """

    order: tuple[str, ...]
    near: tuple[str, ...]
    ranked: bool

    @property
    def best(self) -> str:
        """Returns the name that is shown to be the best; "" if none is."""
        return self.order[0] if self.ranked and not self.near else ""


def rank(found: Mapping[str, Estimate], higher: bool) -> Ranking:
    """Ranks names by their estimates.

    Args:
        found: The estimate of each name, with an interval for as many looks as there are names.
        higher: Whether higher is better.
    """
    order = tuple(sorted(found, key=lambda name: found[name].value, reverse=higher))
    first = found[order[0]]
    near = tuple(name for name in order[1:] if found[name].low <= first.high and first.low <= found[name].high)
    return Ranking(order, near, len(order) > 1 and all(known.bounded for known in found.values()))


def absolute(found: Estimate) -> Estimate:
    """Returns the absolute value of an estimate, with its interval."""
    ends = sorted((abs(found.low), abs(found.high)))
    return Estimate(abs(found.value), ends[0] if found.sign else 0.0, ends[1], found.n) if found.bounded else Estimate(
        abs(found.value), 0.0, math.inf, found.n
    )  # fmt: skip

"""Makes initialisations by name, as the command line takes them."""

import math
from collections.abc import Callable

from bench.errors import UsageError
from cells.grammar.cell import Cell, Rule
from cells.grammar.initializers import Normal, Orthogonal

LAWS: dict[str, Callable[[float], Rule]] = {"normal": Normal, "orthogonal": Orthogonal}


def initialize_as(cell: Cell, name: str) -> Cell:
    """Returns a cell with another initialisation.

    Args:
        cell: The cell.
        name: "default", a variant of the cell ("critical"), or a law with a gain, "normal:2" or "orthogonal:0.9". A law draws every
            matrix and leaves the other parameters at their default.

    Raises:
        UsageError: The cell has no such initialisation.
    """
    if name == "default":
        return cell
    if name in cell.variants:
        return cell.with_init(name)
    law, _, gain = name.partition(":")
    try:
        made: Rule = LAWS[law](parse_positive(gain))
    except (KeyError, ValueError):
        known = ", ".join(("default", *cell.variants, "normal:1.5", "orthogonal:1"))
        raise UsageError(f"--init {name!r} is no initialisation of {cell.name}: take for example {known}") from None
    rules: dict[str, Rule] = {key: rule for key, rule in cell.init.items() if not key.startswith("W")}
    return cell.with_init(rules | {"W": made})


def parse_positive(text: str) -> float:
    """Returns a positive finite number, or raises ValueError."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number

"""Initialisations by name, as the command line takes them."""

import math
from collections.abc import Callable

from bench.errors import UsageError
from cells.grammar.cell import Cell, Rule
from cells.grammar.initializers import Normal, Orthogonal

LAWS: dict[str, Callable[[float], Rule]] = {"normal": Normal, "orthogonal": Orthogonal}


def initialize_as(cell: Cell, name: str) -> Cell:
    """The cell with that initialisation: "default", one of its variants ("critical"), or "normal:2" and "orthogonal:0.9", which draw
    every matrix so, with that gain, and leave the rest of the default. Raises UsageError for any other name."""
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
    """Raises ValueError where it is no number, or none that a gain can be."""
    number = float(text)
    if not 0 < number < math.inf:
        raise ValueError(text)
    return number

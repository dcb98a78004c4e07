"""Masks of random units: `zoneout(old, new, rate)` and `dropout(v, rate)`, on in training and off in evaluation.

Each call in a cell has a mask of its own, drawn for every unit of every step and sequence before the time loop. A cell reads them if it
`draws_masks`, a rewriting of `cells.grammar.masked`; otherwise it computes what holds in evaluation. A step gets all masks as columns in
front of the number of the step, in the order of the calls.
"""

import threading
from typing import Any, NamedTuple

from torch import Tensor

from cells.grammar.elementwise import where
from cells.grammar.errors import CellError


class Mask(NamedTuple):
    """The mask of a call in a cell.

    Attributes:
        probability: that of 1, independently for each unit; otherwise it is 0.
        width: "D" (the mask has a column for each input), "H" or "D=H" (for each unit).
    """

    probability: float
    width: str

    def columns(self, D: int, H: int) -> int:
        """Returns its number of columns, for an input of size D and states of size H."""
        return D if self.width == "D" else H


class _Columns(threading.local):
    """The columns of the step that runs in this thread (None: the cell doesn't draw masks), and how many calls have taken."""

    given: Any = None
    taken: int = 0


_columns = _Columns()


def set_columns(given: Any, taken: int = 0) -> tuple[Any, int]:
    """Sets the columns of a step, and how many are taken; returns what they were."""
    before = _columns.given, _columns.taken
    _columns.given, _columns.taken = given, taken
    return before


def zoneout(old: Any, new: Any, rate: float) -> Any:
    """Returns `old` for a unit with probability `rate`, else `new`; in evaluation rate · old + (1 - rate) · new (Krueger et al. 2016,
    1606.01305)."""
    check_call("zoneout", rate, old, new)
    if rate in (0, 1):
        return old if rate else new
    mask = take_mask(rate, old, new)
    return rate * old + (1 - rate) * new if mask is None else where(mask > 0, old, new)


def dropout(v: Any, rate: float) -> Any:
    """Returns 0 for a unit with probability `rate`, else v / (1 - rate), as torch does; in evaluation v."""
    check_call("dropout", rate, v)
    if rate == 0:
        return v
    mask = take_mask(1 - rate, v)
    return v if mask is None else v * mask * (1 / (1 - rate) if rate < 1 else 1.0)


def check_call(name: str, rate: Any, *values: Any) -> None:
    """Raises CellError unless the rate is a number in [0, 1], and the values are values of which one has units."""
    if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 <= rate <= 1:
        shown = "a value of the cell" if hasattr(rate, "graph") or isinstance(rate, Tensor) else repr(rate)
        raise CellError(f"the rate of {name} is a number in [0, 1], not {shown}")
    strange = next((v for v in values if not (isinstance(v, (int, float, Tensor)) or hasattr(v, "graph"))), None)
    if strange is not None:
        hint = ": apply the matrix first, W.name(h)" if callable(strange) else ""
        raise CellError(f"{name} takes values, not a {type(strange).__name__}{hint}")
    widths = [v.width for v in values if hasattr(v, "graph")] + [v.dim() for v in values if isinstance(v, Tensor)]
    if not any(widths):
        raise CellError(f"{name} draws for each unit, and its argument is one number for all of them: give it a value with units")


def take_mask(probability: float, *values: Any) -> Any:
    """Returns the mask of a call, of ones and zeros, or None in evaluation.

    Args:
        probability: that of 1.
        values: what it is for, which is as wide as the widest.
    """
    traced = [v for v in values if hasattr(v, "graph")]
    if traced:
        graph, widths = traced[0].graph, {v.width for v in traced} - {""}
        graph.masks.append(Mask(probability, widths.pop() if len(widths) == 1 else "D=H"))
        number = len(graph.masks) - 1
        return None if _columns.given is None else graph.leaf("noise", f"mask{number}", graph.masks[number].width)
    if _columns.given is None:
        return None
    first, tensors = _columns.taken, [v for v in values if isinstance(v, Tensor)]
    _columns.taken += max(v.shape[-1] for v in tensors)
    return _columns.given[..., first : _columns.taken].to(tensors[0].dtype)

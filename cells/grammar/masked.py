"""Rewrites a cell so that a mask decides, in each step and for each sequence, whether the states go on, stay as they are or begin anew.

The mask is one more column of the cell's input, so all that takes an input takes it too:

    KEEP    the step is left out: every state stays as it is
    RESET   after the step every state is the one that sequences start with, and the next prev(x) is 0

A state that begins anew before step t does so after step t - 1: the operands of the recurrent products are states then, and no step
computes them. The output of step t - 1 is the state before that, so it becomes a state of its own.
"""

import inspect
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor

from cells.grammar.cell import Cell
from cells.grammar.functions import prev, where

KEEP, RESET = -1, 1
"""Values of the mask; 0 is a step as it is without a mask."""
LENGTHS, RESETS, NOISE = "lengths", "resets", "noise"
"""The rewritings: for a mask of KEEP alone, or of both; and for the masks that zoneout and dropout draw in training, which are columns in
front of time() and not of the input. "noise+resets" is the second rewriting of the first."""


def masked(cell: Cell, kind: str) -> Cell:
    """Rewrites a cell; the same cell gives the same rewriting.

    Args:
        cell: the cell. Its parameters stay as they are.
        kind: LENGTHS, RESETS, NOISE, NOISE with one of the others, or "" for the cell itself. With RESETS the output is a state of its
            own, in front of the others, and a state with a start of its own reads it from the vector `start_name`.

    Returns:
        The cell, whose input has the mask of LENGTHS or RESETS as its last column.
    """
    first, _, rest = kind.partition("+")
    if first and first not in cell.rewritings:
        cell.rewritings[first] = replace(cell, draws_masks=True, torch_equivalent=None) if first == NOISE else rewrite(cell, first)
    return masked(cell.rewritings[first], rest) if rest else cell.rewritings[first] if first else cell


def with_noise(kind: str) -> str:
    """Returns the kind of a rewriting of the cell that draws masks."""
    return f"{NOISE}+{kind}" if kind else NOISE


def rewrite(cell: Cell, kind: str) -> Cell:
    """Makes the cell that `masked` returns."""
    resets = kind == RESETS
    names = (*[unused_name(cell)] * resets, *cell.states)
    letters = (*(letter for letter in cell.letters if letter != "p"), "p")

    def step(*arguments: Any, **learned: Any) -> tuple[Any, ...]:
        *old, given = arguments[resets:]
        x, mask = split_mask(given)
        new = cell(old, x, learned, partial(previous_input, prev(given)))
        kept = [where(mask < 0, o, n) for o, n in zip(old, new, strict=True)]
        if not resets:
            return tuple(kept)
        starts = [getattr(learned["p"], start_name(name)) if name in cell.start else 0.0 for name in cell.states]
        return new[0], *(where(mask > 0, start, value) for start, value in zip(starts, kept, strict=True))

    step.__name__, step.__module__ = cell.name, cell.step.__module__
    parameters = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in (*names, "x", *letters)]
    step.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return replace(cell, step=step, torch_equivalent=None)


def previous_input(before: Any) -> Any:
    """Returns prev(x) from the input one step before, with its mask: 0 if the states began anew after that step."""
    value, mask = split_mask(before)
    return where(mask > 0, 0.0, value)


def unused_name(cell: Cell) -> str:
    """Returns a name for the output that no state of the cell has."""
    return "output" + "_" * max((len(name) for name in cell.states if name.startswith("output")), default=0)


def start_name(state: str) -> str:
    """Returns the name of the vector `p` from which a state begins anew."""
    return f"start_{state}"


def split_mask(given: Any) -> tuple[Any, Any]:
    """Returns an input without its last column, and that column; of a traced value, its leaf and that of its mask."""
    if isinstance(given, Tensor):
        return given[..., :-1], given[..., -1:]
    return given, given.graph.leaf("mask" if given.op == "x" else "mask_before", f"{given.label}_mask", "")

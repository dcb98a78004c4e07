"""Recurrent cells, one file each, written as the equations of their papers.

`names()` lists them, `load("lstm")` returns one, and `load("my_cells.py:mine")` returns one from a user's file. To add a cell, add a file
`cells/<name>.py` that defines a `Cell` called `<name>`.
"""

import difflib
import importlib
import pkgutil
from functools import cache

from cells.grammar.cell import Cell, cell
from cells.grammar.errors import CellError
from cells.grammar.user_files import load_file

__all__ = ["DEFAULT", "Cell", "CellError", "cell", "load", "names"]

DEFAULT = ("cfn", "gru", "gru_reset_before", "lstm", "minimal", "minimal_deep", "vanilla", "vanilla_relu")
"""The cells that a benchmark measures by default."""


@cache
def names() -> tuple[str, ...]:
    """Returns the names of all built-in cells in alphabetical order."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg))


def load(name: str) -> Cell:
    """Returns a built-in cell by name, or a user's cell by FILE.py:NAME.

    Raises:
        KeyError: there is no built-in cell of that name; the message suggests the nearest match.
        CellError: the file can't be run, or has no such cell.
    """
    if ":" in name:
        return load_file(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise KeyError(f"no cell is called {name!r}: {hint}")
    return getattr(importlib.import_module(f"cells.{name}"), name)

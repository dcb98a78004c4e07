"""Recurrent cells, one file each: the equations as their papers write them.

`names()` lists them, `load("lstm")` gives one, `load("my_cells.py:mine")` one of a user's own. A file `cells/<name>.py` that
defines a `Cell` called `<name>` is all it takes to add one.
"""

import difflib
import importlib
import pkgutil
from functools import cache

from cells.grammar.cell import Cell, cell
from cells.grammar.errors import CellError
from cells.grammar.user_files import load_file

__all__ = ["SEED", "Cell", "CellError", "cell", "load", "names"]

SEED = ("cfn", "gru", "gru_reset_before", "lstm", "minimal", "minimal_deep", "vanilla", "vanilla_relu")
"""The cells that a benchmark measures where it is told none."""


@cache
def names() -> tuple[str, ...]:
    """Every cell in the tree, by name, in alphabetical order."""
    return tuple(sorted(m.name for m in pkgutil.iter_modules(__path__) if not m.ispkg))


def load(name: str) -> Cell:
    """The cell called `name`, or FILE.py:NAME. Raises KeyError, naming the nearest match, if there is none; CellError for such a file
    without one."""
    if ":" in name:
        return load_file(name)
    if name not in names():
        near = difflib.get_close_matches(name, names(), n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names())}"
        raise KeyError(f"no cell is called {name!r}: {hint}")
    return getattr(importlib.import_module(f"cells.{name}"), name)

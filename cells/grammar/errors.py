"""Errors of a cell's function: one line that ends with file and line, `step: what to write (File "my.py", line 7)`."""

from collections.abc import Callable
from typing import Any


class CellError(ValueError):
    """Raised for a cell function that breaks the grammar; the message names the function and what to write instead."""

    has_line = False


def cell_error(step: Callable[..., Any], message: str, line: int = 0) -> CellError:
    """Makes a CellError about a cell's function, with the given line or the line of its definition."""
    name, code = step.__name__, getattr(step, "__code__", None)
    where = f' (File "{code.co_filename}", line {line or code.co_firstlineno})' if code else ""
    error = CellError(f"{message if message.startswith(f'{name}: ') else f'{name}: {message}'}{where}")
    error.has_line = True
    return error

"""What is wrong with a cell, in one line that ends with the line of its function: `step: what to write (File "my.py", line 7)`."""

from collections.abc import Callable
from typing import Any


class CellError(ValueError):
    """A cell function that breaks the grammar; the message names the function and what to write instead."""

    placed = False


def cell_error(step: Callable[..., Any], message: str, line: int = 0) -> CellError:
    """The error `message` about a cell's function, at `line`, or where it is defined."""
    name, code = step.__name__, getattr(step, "__code__", None)
    where = f' (File "{code.co_filename}", line {line or code.co_firstlineno})' if code else ""
    error = CellError(f"{message if message.startswith(f'{name}: ') else f'{name}: {message}'}{where}")
    error.placed = True
    return error

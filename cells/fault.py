"""What is wrong with a cell, in one line that ends with the line of its function: `step: what to write (File "my.py", line 7)`."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any


class CellError(ValueError):
    """A cell function that breaks the grammar; the message names the function and what to write instead."""

    placed = False


def fault(step: Callable[..., Any], message: str, line: int = 0) -> CellError:
    """The error `message` about a cell's function, at `line`, or where it is defined."""
    name, code = step.__name__, getattr(step, "__code__", None)
    where = f' (File "{code.co_filename}", line {line or code.co_firstlineno})' if code else ""
    error = CellError(f"{message if message.startswith(f'{name}: ') else f'{name}: {message}'}{where}")
    error.placed = True
    return error


@contextmanager
def located(step: Callable[..., Any]) -> Iterator[None]:
    """Whatever `step` raises inside becomes a CellError at the line of its file that raised it."""
    try:
        yield
    except Exception as error:
        if isinstance(error, CellError) and error.placed:
            raise
        raise fault(step, words(error), innermost(step, error.__traceback__)) from error


def words(error: Exception) -> str:
    if isinstance(error, CellError):
        return str(error)
    if isinstance(error, AttributeError) and type(error.obj).__name__ == "Node":
        return f"a value has no .{error.name}: write a function of cells.functions around it, as tanh(h)"
    if isinstance(error, NameError):
        return f"{error}: import it; cells.functions has what a cell may apply"
    text = f"{type(error).__name__} {error}".strip().replace("'Node'", "a value").replace("'function'", "a matrix")
    return f"{text}: a cell is arithmetic on values, functions of cells.functions, and matrices applied as W.name(v)"


def innermost(step: Callable[..., Any], traceback: TracebackType | None) -> int:
    """The line in the file of `step` that is deepest in the traceback, 0 where none is."""
    found, code = 0, getattr(step, "__code__", None)
    while traceback is not None:
        if code is not None and traceback.tb_frame.f_code.co_filename == code.co_filename:
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found

"""Converts exceptions of a cell's function to CellErrors that name the line of its file."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any

from cells.grammar import functions
from cells.grammar.errors import CellError, cell_error
from cells.grammar.functions import FUNCTION_NAMES, UNIT_BY_UNIT, suggest
from cells.grammar.parameters import LETTERS, Matrix


@contextmanager
def locate_errors(step: Callable[..., Any]) -> Iterator[None]:
    """Converts any exception inside the context to a CellError at the line of the file of `step` that raised it."""
    try:
        yield
    except (Exception, SystemExit) as error:
        if isinstance(error, CellError) and error.has_line:
            raise
        raise cell_error(step, describe_error(error), innermost_line(step, error.__traceback__)) from error


def describe_error(error: BaseException) -> str:
    """Returns the message of an exception in terms of the grammar."""
    if isinstance(error, CellError):
        return str(error)
    if isinstance(error, AttributeError) and type(error.obj).__name__ == "Node":
        return f"a value has no .{error.name}: {suggest(error.name or '')}"
    if isinstance(error, AttributeError) and isinstance(error.obj, Matrix):
        return f"a matrix has no .{error.name}: W.name(v) applies it, and W.name.T(v) applies it transposed"
    if isinstance(error, UnboundLocalError):
        return f"{error}: inside a function a name that is given a value anywhere is its own"
    if isinstance(error, NameError) and error.name in LETTERS:
        return f"{error}: parameters are arguments of the cell, after x: add {error.name}"
    if isinstance(error, NameError):
        return f"{error}: import it; the functions of cells.grammar.functions are {FUNCTION_NAMES}"
    if isinstance(error, AttributeError) and error.obj is functions:
        return f"cells.grammar.functions has no {error.name}: it has {FUNCTION_NAMES}"
    text = f"{type(error).__name__} {error}".strip().replace("'Matrix'", "a matrix")
    text = re.sub(r"'?\bNode\b'?( object)?", "a value", text)
    if re.search(r"type\(s\) for (%|//|divmod)", text):
        return f"{text}: write floor(v / p) for v // p, and v - p * floor(v / p) for v % p"
    if re.search("subscriptable|iterable|iterate|unpack|len\\(\\)", text):
        return f"{text}: {UNIT_BY_UNIT}"
    return f"{text}: a cell is arithmetic on values, functions of cells.grammar.functions, and matrices applied as W.name(v)"


def innermost_line(step: Callable[..., Any], traceback: TracebackType | None) -> int:
    """Returns the innermost line of the traceback in the file of `step`, 0 if there is none."""
    found, code = 0, getattr(step, "__code__", None)
    while traceback is not None:
        if code is not None and traceback.tb_frame.f_code.co_filename == code.co_filename:
            found = traceback.tb_lineno
        traceback = traceback.tb_next
    return found

"""Loads cells from users' files, by FILE.py:NAME."""

import difflib
import importlib.util
import inspect
import traceback
from functools import cache
from pathlib import Path
from types import ModuleType

from cells.grammar.cell import Cell
from cells.grammar.errors import CellError
from cells.grammar.functions import FUNCTION_NAMES


def load_file(spec: str) -> Cell:
    """Loads the cell FILE.py:NAME, a `Cell` or a function; the same object in every call.

    Raises:
        CellError: the file doesn't exist or can't be run, or has no function of that name.
    """
    file, _, name = spec.rpartition(":")
    return find_cell(file, name, Path.cwd())


@cache
def find_cell(file: str, name: str, folder: Path) -> Cell:
    """Finds a cell in a file. `folder`, the current folder, is part of the cache's key."""
    if not Path(file).is_file():
        raise CellError(f"there is no file {file}")
    module = run_file(file, folder)
    held = getattr(module, name, None)
    if isinstance(held, Cell):
        return held
    functions = [key for key, value in vars(module).items() if inspect.isfunction(value) and value.__module__ == module.__name__]
    functions += [key for key, value in vars(module).items() if isinstance(value, Cell)]
    if held is None:
        near = difflib.get_close_matches(name, functions, n=1)
        hint = f"did you mean {near[0]}?" if near else f"it has {', '.join(functions) or 'none'}"
        raise CellError(f"{file} has no function {name}: {hint}")
    if not inspect.isfunction(held):
        raise CellError(f"{name} in {file} is a {type(held).__name__}, not a function: def {name}(h, x, W, b)")
    return Cell(held)


@cache
def run_file(file: str, folder: Path) -> ModuleType:
    """Imports a file as a module, once; raises CellError with its line if it fails."""
    spec = importlib.util.spec_from_file_location(Path(file).stem, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == spec.origin]
        line = error.lineno or 1 if isinstance(error, SyntaxError) else next(reversed(lines), 0)
        words = error.msg if isinstance(error, SyntaxError) else str(error)
        if isinstance(error, ImportError) and error.name == "cells.grammar.functions":
            words = f"{words.partition(' (')[0]}: it has {FUNCTION_NAMES}"
        raise CellError(f'{file} can\'t be run: {type(error).__name__}: {words} (File "{file}", line {line})') from error
    return module

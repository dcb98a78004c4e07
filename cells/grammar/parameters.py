"""The trainable parameters of a cell, as its function reads them: `W.name(v)`, `b.name`, `p.name`, `s.name`."""

from collections.abc import Callable
from typing import Any, NoReturn

from cells.grammar.errors import CellError

LETTERS = ("W", "b", "p", "s")
"""The kinds of parameters: matrices, biases, vectors that `bias=False` doesn't remove, scalars."""


class Parameters:
    """`W`, `b`, `p` or `s` inside a cell: one attribute for each parameter of that kind. `read` returns it by name."""

    def __init__(self, read: Callable[[str], Any]):
        object.__setattr__(self, "_read", read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("_") or not name.isidentifier():
            raise CellError(f"a parameter's name must be one word that begins with a letter, not {name}")
        return self._read(name)

    def __call__(self, *_: Any) -> NoReturn:
        raise CellError("a parameter needs a name: W.name(v) applies a matrix, b.name is a vector")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise CellError(f"a cell can't assign to a parameter: set its initial value with @cell(init={{'b.{name}': 0.5}})")

    __getitem__ = __call__

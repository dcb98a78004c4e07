"""What a cell learns, as its function sees it: `W.name(v)`, `b.name`, `p.name`, `s.name`."""

from collections.abc import Callable
from typing import Any, NoReturn

from cells.grammar.errors import CellError

LETTERS = ("W", "b", "p", "s")
"""What is learned: matrices, biases, vectors that `bias=False` leaves, scalars."""


class Learned:
    """`W`, `b`, `p` or `s` inside a cell: an attribute for every learned value."""

    def __init__(self, read: Callable[[str], Any]):
        object.__setattr__(self, "_read", read)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name.startswith("_") or not name.isidentifier():
            raise CellError(f"the name of what is learned begins with a letter, and is one word: not {name}")
        return self._read(name)

    def __call__(self, *_: Any) -> NoReturn:
        raise CellError("what is learned has a name: W.name(v) applies a matrix, b.name is a vector")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise CellError(f"what is learned isn't given a value: where it begins is said by @cell(init={{'b.{name}': 0.5}})")

    __getitem__ = __call__

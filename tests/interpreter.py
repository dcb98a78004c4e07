"""Triton's interpreter, faster: it patches its language for every call of a device function, which is most of a small kernel's time.
Once for each module in a launch is enough."""

from collections.abc import Callable
from typing import Any

import numpy as np


def patch_once(functions: Any, patch: Callable[[Any, str, Any], object]) -> None:
    """Have `functions`, the interpreter's InterpretedFunction, do so; `patch(owner, name, value)` sets an attribute."""
    patched: set[str] = set()
    call, run = functions.__call__, functions.run

    def called(self: Any, *arguments: Any, **options: Any) -> Any:
        if self.fn.__module__ in patched:
            return self.rewrite()(*arguments, **options)
        patched.add(self.fn.__module__)
        return call(self, *arguments, **options)

    def launched(self: Any, *arguments: Any, **options: Any) -> Any:
        patched.clear()
        with np.errstate(all="ignore"):  # infinity is a result like any other, and lanes outside of a tensor compute too
            return run(self, *arguments, **options)

    patch(functions, "__call__", called)
    patch(functions, "run", launched)

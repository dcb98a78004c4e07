"""Papers' recurrences as they print them, one file for each cell, which shares nothing with `cells`.

A file has `transcription`, a function of the inputs x (T, B, D), the initial states and the paper's weights that returns the outputs
(T, B, H); `NAMES`, our parameter for each of the paper's; and `PEER`, if torchrecurrent's cell follows the paper: its class, its options,
and our parameters for each of its own.
"""

import importlib
import pkgutil

CELLS = {m.name: importlib.import_module(f"{__name__}.{m.name}") for m in pkgutil.iter_modules(__path__)}
"""The files by cell."""

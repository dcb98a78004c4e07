"""Where tables are printed."""

import os
import sys

from rich.console import Console

WIDTH = 120
"""Columns, where stdout is no terminal and COLUMNS doesn't say."""


def terminal(highlight: bool = True) -> Console:
    """Stdout, as wide as it is. rich reads COLUMNS, and NO_COLOR. `highlight`: numbers and words of Python in prose are coloured."""
    return Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else WIDTH, highlight=highlight)

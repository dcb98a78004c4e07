"""Opens the console that tables are printed to."""

import os
import sys

from rich.console import Console

WIDTH = 120
"""The width in columns, if stdout is no terminal and COLUMNS is not set."""


def open_console(highlight: bool = True) -> Console:
    """Returns stdout as a console. rich reads COLUMNS and NO_COLOR. `highlight` colours numbers and words of Python in prose."""
    return Console(width=None if sys.stdout.isatty() or os.environ.get("COLUMNS") else WIDTH, highlight=highlight)

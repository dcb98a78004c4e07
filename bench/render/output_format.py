"""In which format a command writes its data to stdout."""

from typing import Literal

OutputFormat = Literal["", "json", "csv", "md"]
"""Tables for a terminal, or else this."""

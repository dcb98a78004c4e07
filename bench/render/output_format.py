"""In which format a command writes its data to stdout."""

from typing import Literal

OutputFormat = Literal["", "json", "csv", "md", "none"]
"""Tables for a terminal, or else this; "none" renders nothing."""

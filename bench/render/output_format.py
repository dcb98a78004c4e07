"""The formats in which a command writes data to stdout."""

from typing import Literal

OutputFormat = Literal["", "json", "csv", "md", "latex", "none"]
""""" prints tables to a terminal; "none" writes nothing, and no report either."""

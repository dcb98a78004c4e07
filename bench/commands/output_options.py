"""Defines the options --json, --csv, --md and --latex, which write data to stdout instead of tables."""

from collections.abc import Callable
from typing import Any

import click

HELP = {
    "json": "Write data to stdout as JSON; for a run, in the format of pytest-benchmark.",
    "csv": "Write data to stdout as CSV, one row per case.",
    "md": "Write tables to stdout as Markdown.",
    "latex": "Write tables to stdout as LaTeX, for the packages array, booktabs and longtable.",
}


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json, --csv, --md and --latex to a command, which gets the argument `output_format`."""
    for name in ("latex", "md", "csv", "json"):
        command = click.option(f"--{name}", "output_format", flag_value=name, default="", help=HELP[name])(command)
    return command

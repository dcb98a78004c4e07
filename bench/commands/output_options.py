"""The options --json, --csv and --md, which write data to stdout in place of tables."""

from collections.abc import Callable
from typing import Any

import click

HELP = {
    "json": "Data to stdout as JSON; of a run, in the form of pytest-benchmark.",
    "csv": "Data to stdout as CSV, a row for each case.",
    "md": "Tables to stdout as Markdown.",
}


def output_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command --json, --csv and --md. It is called with `output_format`; of several the last one counts."""
    for name in ("md", "csv", "json"):
        command = click.option(f"--{name}", "output_format", flag_value=name, default="", help=HELP[name])(command)
    return command

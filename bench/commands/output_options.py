"""The forms in which a verb writes its data to stdout, instead of tables."""

from collections.abc import Callable
from typing import Any, Literal

import click

Form = Literal["", "json", "csv", "md"]
"""Tables for a terminal, or else this."""

HELP = {
    "json": "Data to stdout as JSON; of a run, in the form of pytest-benchmark.",
    "csv": "Data to stdout as CSV, a row for each case.",
    "md": "Tables to stdout as Markdown.",
}


def forms(verb: Callable[..., Any]) -> Callable[..., Any]:
    """Gives a verb --json, --csv and --md; it is called with `form`. Of several the last counts."""
    for name in ("md", "csv", "json"):
        verb = click.option(f"--{name}", "form", flag_value=name, default="", help=HELP[name])(verb)
    return verb

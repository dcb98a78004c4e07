"""A run as JSON, CSV or Markdown on stdout."""

import os
import sys
from typing import Any

from pydantic_core import to_json as serialised

from bench.errors import UsageError
from bench.records import Records
from bench.render import benchmarks, run_report
from bench.render.case_rows import list_case_rows
from bench.render.console import list_renderables
from bench.render.output_format import OutputFormat
from bench.render.table import write_rows
from bench.render.terminal import terminal


def show(records: Records, output_format: OutputFormat) -> None:
    """Write a run to stdout: its tables, or its data in a form of `bench.render.output_format`. Raises UsageError where stdout
    can't be written, and
    BrokenPipeError where nobody reads on."""
    if sys.stdout is None:
        raise UsageError("stdout is closed: give it somewhere to go")
    try:
        write_format(records, output_format)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  what is left in the old one would be tried again at the end
        raise UsageError(f"stdout can't be written ({error.strerror}): send it elsewhere") from None


def write_format(records: Records, output_format: OutputFormat) -> None:
    if output_format == "json":
        write_text(to_json(benchmarks.document(records)))
    elif output_format == "csv":
        write_text(write_rows(list_case_rows(records)))
    elif output_format == "md":
        write_text(run_report.render(records))
    else:
        out = terminal()
        for found in list_renderables(records):
            out.print(found)


def write_text(words: str) -> None:
    sys.stdout.write(words)


def to_json(document: Any) -> str:
    """What isn't finite is the word "NaN" or "Infinity": JSON has no such numbers."""
    return serialised(document, indent=2, inf_nan_mode="strings").decode() + "\n"

"""Writes a run to stdout as tables, JSON, CSV or Markdown."""

import os
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from pydantic_core import to_json as serialised
from rich.console import RenderableType

from bench.errors import UsageError
from bench.records import Records
from bench.render import benchmarks, latex, run_report
from bench.render.case_rows import list_case_rows
from bench.render.console import list_renderables
from bench.render.output_format import OutputFormat
from bench.render.table import Table, write_rows
from bench.render.terminal import open_console


def write_run(records: Records, output_format: OutputFormat) -> None:
    """Writes a run to stdout.

    Args:
        records: The records of the run.
        output_format: The format; "" prints tables.

    Raises:
        UsageError: stdout is closed or can't be written.
        BrokenPipeError: The reader of a pipe has stopped.
    """
    if sys.stdout is None:
        raise UsageError("stdout is closed: redirect it to a file or a terminal")
    try:
        write_format(
            output_format, lambda: benchmarks.build_document(records), lambda: list_case_rows(records),
            lambda: run_report.render_report(records), lambda: [part for part in run_report.list_parts(records) if isinstance(part, Table)],
            lambda: list_renderables(records),
        )  # fmt: skip
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  Python would write the rest of the old buffer again at exit
        raise UsageError(f"stdout can't be written ({error.strerror}): redirect it elsewhere") from None


def write_format(
    output_format: OutputFormat, data: Callable[[], Any], rows: Callable[[], Sequence[dict[str, Any]]], page: Callable[[], str],
    tables: Callable[[], Iterable[Table]], blocks: Callable[[], Iterable[RenderableType]],
) -> None:  # fmt: skip
    """Writes to stdout in one format, and builds only what the format needs.

    Args:
        output_format: The format.
        data: Returns the document for "json".
        rows: Returns the rows for "csv".
        page: Returns the text for "md".
        tables: Returns the tables for "latex".
        blocks: Returns what a terminal prints for "".
    """
    if output_format:
        makers: dict[str, Callable[[], str]] = {
            "json": lambda: to_json(data()), "csv": lambda: write_rows(rows()), "md": page,
            "latex": lambda: latex.write_document(tables()),
        }  # fmt: skip
        sys.stdout.write(makers[output_format]())
    else:
        out = open_console()
        for block in blocks():
            out.print(block)


def to_json(document: Any) -> str:
    """Returns a document as JSON. NaN and infinities become strings, because JSON has no such numbers."""
    return serialised(document, indent=2, inf_nan_mode="strings").decode() + "\n"

"""Implements `python -m bench report`."""

from pathlib import Path

import click

from bench.commands.arguments import BACKEND
from bench.commands.command import command
from bench.commands.output_options import output_options
from bench.errors import UsageError
from bench.render.output_format import OutputFormat


@command()
@click.argument("path", type=Path)
@click.option("--out", type=Path, metavar="FOLDER", help="The folder of report.md and its plots. [that of the records]")
@click.option("--against", type=BACKEND, metavar="NAME", help="A backend that all others are compared with, beside torch.nn. [the run's]")
@output_options
def report(path: Path, out: Path | None, against: str | None, output_format: OutputFormat) -> None:
    """Render the report of a records.jsonl, or of its folder, again. Neither torch nor triton is needed."""
    from bench.records import read_records
    from bench.render import export
    from bench.render import run_report as reports
    from bench.render.against_table import set_baseline

    records = read_records(path)
    if against:
        records = set_baseline(records, against)
    target = out or (path if path.is_dir() else path.parent)
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = reports.write_report(target, records)
    except OSError as error:
        raise UsageError(f"--out {target} can't be written ({error.strerror}): name a folder that can") from None
    export.write_run(records, output_format)
    click.echo(f"wrote {', '.join(str(p) for p in written)}", err=True)

"""`python -m bench report`."""

from pathlib import Path

import click

from bench.commands.output_options import Form, forms
from bench.harness.settings import SettingsError


@click.command()
@click.argument("path", type=Path)
@click.option("--out", type=Path, metavar="FOLDER", help="Where to write report.md and its plots. [beside the records]")
@forms
def report(path: Path, out: Path | None, form: Form) -> None:
    """Render a report again from a records.jsonl, or its folder. Needs neither torch nor triton."""
    from bench.records import read
    from bench.render import export
    from bench.render import run_report as reports

    records = read(path)
    target = out or (path if path.is_dir() else path.parent)
    try:
        target.mkdir(parents=True, exist_ok=True)
        written = reports.write(target, records)
    except OSError as error:
        raise SettingsError(f"--out {target} can't be written ({error.strerror}): name a folder that can") from None
    export.show(records, form)
    click.echo(f"wrote {', '.join(str(p) for p in written)}", err=True)

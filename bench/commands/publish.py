"""Implements `python -m bench publish`."""

from pathlib import Path

import click

from bench.commands.command import command
from bench.errors import UsageError

ROOT = Path(__file__).parents[2]


@command()
@click.option("--reports", type=Path, default=ROOT / "reports", metavar="FOLDER", help="The folder of the runs. [reports]")
@click.option(
    "--out", type=Path, default=Path("site"), metavar="FOLDER", help="The folder of the site; an older site there is replaced. [site]"
)
@click.option("--index", "index_only", is_flag=True, help="Write only the index of the runs, README.md.")
def publish(reports: Path, out: Path, index_only: bool) -> None:
    """Write a static site of all published runs, and their index as README.md in the folder of the runs. Records are compressed with
    gzip. Neither torch nor triton is needed; without torch, the pages of cells lack the source derived from them."""
    from bench.analysis.completeness import describe_unfinished
    from bench.records import RecordError
    from bench.records.records_file import compress_records
    from bench.render import index, note_page
    from bench.render.formatting import count_noun
    from bench.render.published import read_published

    if not index_only:  # before anything is written: what it needs may be missing
        from bench.site.build import build_site
        from bench.site.equations import read_sources
    if not reports.is_dir():
        raise UsageError(f"--reports {reports} is no folder: name the one that the runs are in")

    def tell(words: str) -> None:
        click.echo(words, err=True)

    runs = read_published(reports, tell)
    for run in runs:
        if unfinished := describe_unfinished(run.records):
            tell(f"{run.name} is {unfinished}, and marked so")
    try:
        for run in runs:
            try:
                compress_records(run.folder)
            except RecordError as error:
                tell(f"not compressed: {error}")
        click.echo(f"wrote {index.write_index(reports, runs)}: {count_noun(len(runs), 'run')}", err=True)
        if reports.resolve() == ROOT / "reports":
            click.echo(f"wrote {note_page.write_note(ROOT / 'docs', runs)}", err=True)
        if not index_only:
            cells = read_sources(ROOT / "cells")
            pages = build_site(runs, cells, describe_cells([cell.name for cell in cells]), out, tell)
            click.echo(f"wrote {len(pages)} pages: open {out / 'index.html'}", err=True)
    except OSError as error:
        raise UsageError(f"{error.filename or out} can't be written ({error.strerror}): name another with --out") from None


def describe_cells(cells: list[str]) -> dict[str, str]:
    """Returns the plan and the derived functions of each cell as text; an empty dictionary if torch is not installed."""
    try:
        from bench.commands.cell_report import describe_derivation
    except ImportError:
        return {}
    return {name: describe_derivation(name) for name in cells}

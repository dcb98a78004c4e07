"""Implements `python -m bench merge`."""

from io import FileIO
from pathlib import Path

import click

from bench.commands.command import command
from bench.commands.output_options import output_options
from bench.errors import UsageError
from bench.harness.device import make_folder
from bench.render.output_format import OutputFormat


@command()
@click.argument("paths", metavar="RUN RUN …", nargs=-1, type=Path)
@click.option("--out", type=Path, required=True, metavar="FOLDER", help="A new folder for the merged run.")
@output_options
def merge(paths: tuple[Path, ...], out: Path, output_format: OutputFormat) -> None:
    """Merge the shards of a run, such as `bench all --shard 1/2` and `--shard 2/2`, into one run with a report. Cases that two shards
    measured are listed and taken from the first. The exit code is 1 if the shards disagree on such a case."""
    from bench.harness.merge_shards import merge_records
    from bench.records import read_records, write_record
    from bench.render import export, run_report

    if len(paths) < 2:
        raise UsageError("merge takes two runs or more: their folders, or their records.jsonl")
    found = merge_records([(str(path), read_records(path)) for path in paths])
    target = make_folder(out, out)
    try:
        with FileIO(target / "records.jsonl", "w") as stream:
            for line in found.lines:
                write_record(stream, line)
        records = read_records(target)
        written = run_report.write_report(target, records)
    except OSError as error:
        raise UsageError(f"--out {target} can't be written ({error.strerror}): name a folder that can") from None
    export.write_run(records, output_format)
    for kind, named in (("missing", found.missing), ("twice", found.twice), ("DISAGREES", found.disagreements)):
        for words in named:
            click.echo(f"{kind}: {words}", err=True)
    click.echo(f"report: {written[0]}", err=True)
    if found.disagreements:
        raise SystemExit(1)

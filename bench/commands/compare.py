"""Implements `python -m bench compare`."""

from typing import Any

import click

from bench.commands.arguments import BACKENDS, split_list
from bench.commands.command import Command, list_option
from bench.commands.output_options import output_options
from bench.render.output_format import OutputFormat


class SplitCommand(Command):
    """A click command that stores the arguments after "--" in `context.meta["rest"]`; they belong to another command."""

    def parse_args(self, context: click.Context, args: list[str]) -> list[str]:
        at = args.index("--") if "--" in args else len(args)
        context.meta["rest"] = args[at + 1 :]
        return super().parse_args(context, args[:at])


@click.command(
    cls=SplitCommand, epilog="Arguments after -- go to `bench all`, which measures revisions: compare main -- --cells lstm --quick"
)
@click.argument("a", metavar="A")
@click.argument("b", metavar="[B]", default="", required=False)
@click.option(
    "--fail-slower",
    default="",
    metavar="STAT:N%",
    help="Exit with 1 if B is slower by more than this, or lacks a time: median:5%; also mean or min.",
)
@list_option("--cells", default="", metavar="A,B", help="Compare these cells alone. [all]")
@list_option("--backends", type=BACKENDS, metavar="A,B", help="Compare these backends alone. [all]")
@click.option("--only-changed", is_flag=True, help="List only cases whose speed or status changed.")
@click.option("--only-slower", is_flag=True, help="List only cases that became slower or lost their time.")
@click.option("--relative", is_flag=True, help="Compare speeds over torch.nn's of each run, as of two machines: a slow hour slows both.")
@click.option("--all", "one_sided", is_flag=True, help="Also list the cases of one run only, which are otherwise a count.")
@click.option("--force", is_flag=True, help="Compare even if machines or settings differ.")
@output_options
@click.pass_context
def compare(
    context: click.Context, a: str, b: str, fail_slower: str, cells: str, backends: tuple[str, ...] | None, only_changed: bool,
    only_slower: bool, relative: bool, one_sided: bool, force: bool, output_format: OutputFormat,
) -> None:  # fmt: skip
    """Compare B with A: print a verdict for each case and the geometric mean. A and B are each a records file, its folder, or a git
    revision. Revisions are measured now, interleaved. B is the working tree by default."""
    from bench.analysis.comparison import Threshold, View
    from bench.analysis.comparison import compare as compare_runs
    from bench.errors import UsageError
    from bench.harness import revisions
    from bench.render import comparison_tables as tables

    threshold = Threshold.parse(fail_slower) if fail_slower else None
    named = revisions.parse_revision(a), revisions.parse_revision(b) if b else revisions.WORKING_TREE
    arguments: Any = context.meta["rest"]
    sides = revisions.read_or_measure(*named, arguments, lambda words: click.echo(words, err=True))
    found = compare_runs(*sides, to_vendor=relative)
    if found.unlike and not force:
        raise UsageError(f"A and B differ in {', '.join(found.unlike)}: compare like with like, or --force")
    found = found.select(split_list(cells), backends or ())
    tables.write_comparison(found, output_format, View(one_sided, only_changed, only_slower))
    broken = threshold.list_violations(found) if threshold else []
    for line in broken:
        click.echo(line, err=True)
    if broken:
        raise SystemExit(1)

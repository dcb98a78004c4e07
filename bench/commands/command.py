"""Commands and options that ignore nothing that is typed: lists add up, any other repeated option is refused, former names still work."""

from collections.abc import Iterable
from functools import partial
from typing import Any

import click

from bench.errors import UsageError


class ListOption(click.Option):
    """A click option of a comma-separated list. Given several times, its lists add up."""

    def add_to_parser(self, parser: Any, ctx: click.Context) -> None:
        self.multiple = True  # the parser then keeps all of them
        super().add_to_parser(parser, ctx)
        self.multiple = False

    def consume_value(self, ctx: click.Context, opts: Any) -> tuple[Any, Any]:
        value, source = super().consume_value(ctx, opts)
        return (",".join(value) if isinstance(value, list) else value), source


list_option = partial(click.option, cls=ListOption)


class Command(click.Command):
    """A click command that refuses an option that is given twice, and whose options keep their former names for one version.

    Args:
        renamed: The current name of an option by its former name.
    """

    def __init__(self, *args: Any, renamed: dict[str, str] | None = None, **known: Any):
        super().__init__(*args, **known)
        self.renamed = renamed or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        args = [self.rename(argument) for argument in args]
        self.refuse_repeats(self.make_parser(ctx).parse_args(args=list(args))[2])
        return super().parse_args(ctx, args)

    def refuse_repeats(self, given: Iterable[click.Parameter]) -> None:
        """Raises UsageError if one of two options of the same variable would be ignored: a repeated one, or --json beside --csv.

        Args:
            given: The parameters in the order in which they are given.
        """
        options = [found for found in given if isinstance(found, click.Option)]
        single = [found for found in options if not (found.multiple or isinstance(found, ListOption))]
        for k, option in enumerate(single):
            for other in (other for other in single[:k] if other.name == option.name):
                if other is not option:
                    raise UsageError(f"{other.opts[0]} and {option.opts[0]} exclude each other: give one of them")
                if not option.is_flag:
                    raise UsageError(f"{option.opts[0]} is given twice, and takes one value: leave one out")

    def rename(self, argument: str) -> str:
        """Returns an argument with the current name of its option."""
        flag, equals, value = argument.partition("=")
        if flag not in self.renamed:
            return argument
        click.echo(f"bench: {flag} is called {self.renamed[flag]} now; the old name works for one more version", err=True)
        return f"{self.renamed[flag]}{equals}{value}"


command = partial(click.command, cls=Command)

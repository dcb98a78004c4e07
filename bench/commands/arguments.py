"""The arguments of commands: click's parameter types, and a command whose renamed options keep working.

Every fault is a UsageError of one line that names the option and the fix.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import click

from bench.errors import UsageError
from bench.records.backend_table import LOW, NAMES, OLD_NAMES, strip_low, translate_name

SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_choices(text: str, known: Iterable[str], kind: str) -> tuple[str, ...]:
    """Return the names of a comma list. Raises UsageError for one that isn't known, with the nearest that is."""
    known = tuple(known)
    names = split_list(text)
    if not names:
        raise UsageError(f"no {kind} named: choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"no {kind} is called {name!r}: {hint}")
    return names


def parse_choice(text: str, known: Iterable[str], kind: str) -> str:
    """Return one known name. Raises UsageError."""
    known = tuple(known)
    if "," in text:
        raise UsageError(f"one {kind} at a time, not {text!r}: choose from {', '.join(known)}")
    return parse_choices(text, known, kind)[0]


def parse_backends(text: str, flag: str = "--backends") -> tuple[str, ...]:
    """Return the backends of a comma list: those of the table, schedules of kernels/, and functions in files, FILE.py:NAME.

    An old name counts as the current one, with a warning.
    """
    names = []
    for name in parse_names(text, flag):
        if strip_low(name) in OLD_NAMES:
            click.echo(f"bench: the backend {name} is called {translate_name(name)} now; the old name works for one more version", err=True)
        names.append(translate_name(name) if ":" not in name else name)
    known = [name for name in names if ":" not in name]
    if not names or set(known) - set(NAMES):
        parse_choices(",".join(known), (*NAMES, *list_added_schedules()), "backend")
    return tuple(dict.fromkeys(names))


def list_added_schedules() -> tuple[str, ...]:
    """Return the schedules of kernels/ that have no row in the table, with and without low memory."""
    from kernels.layer.select import SCHEDULES  # takes seconds, which only an unknown name costs

    added = [name for name in SCHEDULES if translate_name(name) not in NAMES]
    return tuple(name + memory for name in added for memory in ("", LOW))


def parse_names(text: str, flag: str) -> tuple[str, ...]:
    """Return the names of a comma list. Raises UsageError for one with a colon that isn't FILE.py:NAME of a file that exists."""
    names = split_list(text)
    for file, _, function in (name.rpartition(":") for name in names if ":" in name):
        if not (function.isidentifier() and file.endswith(".py")):
            raise UsageError(f"{flag} takes FILE.py:NAME for a function of your own, not {file}:{function}")
        if not Path(file).is_file():
            raise UsageError(f"{flag}: there is no file {file}")
    return names


def split_list(text: str) -> tuple[str, ...]:
    """Return the parts of a comma list, each once."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


def parse_sizes(text: str, flag: str) -> tuple[int, ...]:
    """Return the positive whole numbers of a comma list, in rising order. Raises UsageError."""
    return tuple(sorted({parse_size(part, flag) for part in text.split(",")}))


def parse_size(text: str, flag: str, least: int = 1) -> int:
    """Return a whole number from `least` to 2³¹ - 1. Raises UsageError."""
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{flag} takes whole numbers, not {text!r}: for example {flag} 64") from None
    if number < least:
        raise UsageError(f"{flag} must be at least {least}, not {number}")
    if number >= 2**31:
        raise UsageError(f"{flag} must be below 2³¹, not {number}")
    return number


def parse_shard(text: str, flag: str) -> str:
    """Return one part of several as "2/3", the second of three. Raises UsageError."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"{flag} takes one part of several, not {text!r}: {flag} 1/2 here and {flag} 2/2 elsewhere")
    return f"{int(found[1])}/{int(found[2])}"


def parse_duration(text: str, flag: str) -> float:
    """Return the seconds of a number with its unit: 90s, 8m, 1.5h. Raises UsageError."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"{flag} takes a time with its unit, not {text!r}: for example {flag} 90s, 8m or 1h")
    return float(found[1]) * SECONDS[found[2]]


def parse_rates(text: str, flag: str) -> tuple[float, ...]:
    """Return the positive numbers of a comma list. Raises UsageError."""
    return tuple(parse_rate(part, flag) for part in text.split(","))


def parse_rate(text: str, flag: str) -> float:
    """Return a positive number. Raises UsageError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{flag} takes positive numbers, not {text!r}: for example {flag} 0.003,0.01")
    return number


class ParsedType(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """A click type that calls `parse(text, flag)`."""

    def __init__(self, parse: Callable[[str, str], Any]):
        self.parse, self.name = parse, parse.__name__.removeprefix("parse_")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.parse(value, param.opts[0] if param else "") if isinstance(value, str) else value


class Size(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """A whole number that is at least so much."""

    name = "size"

    def __init__(self, least: int = 1):
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return parse_size(value, param.opts[0] if param else "", self.least) if isinstance(value, str) else value


class Choice(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """One name, or with `several` a comma list, of known ones."""

    name = "choice"

    def __init__(self, known: Iterable[str], kind: str, several: bool = False):
        self.known, self.kind, self.parse = tuple(known), kind, parse_choices if several else parse_choice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.parse(value, self.known, self.kind) if isinstance(value, str) else value


SIZE, SIZES, DURATION = Size(), ParsedType(parse_sizes), ParsedType(parse_duration)
SHARD, RATES, BACKENDS = ParsedType(parse_shard), ParsedType(parse_rates), ParsedType(parse_backends)
DEVICE = Choice(("cpu", "cuda"), "device")


class RenamingCommand(click.Command):
    """A command whose options keep their old names for one version, with a warning: `renamed` has the new name of each."""

    def __init__(self, *args: Any, renamed: dict[str, str] | None = None, **known: Any):
        super().__init__(*args, **known)
        self.renamed = renamed or {}

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        return super().parse_args(ctx, [self.rename(argument) for argument in args])

    def rename(self, argument: str) -> str:
        """Return the argument with the new name of its option."""
        flag, equals, value = argument.partition("=")
        if flag not in self.renamed:
            return argument
        click.echo(f"bench: {flag} is called {self.renamed[flag]} now; the old name works for one more version", err=True)
        return f"{self.renamed[flag]}{equals}{value}"

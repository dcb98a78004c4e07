"""Parses the arguments of commands, as parameter types of click.

Every invalid argument raises a UsageError of one line that names the option and the fix.
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
    """Returns the names in a comma-separated list, each once.

    Args:
        text: The list.
        known: The valid names.
        kind: The word for a name in error messages, such as "cell".

    Raises:
        UsageError: The list is empty or has an unknown name; the message suggests the nearest valid one.
    """
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
    """Returns a single valid name.

    Args:
        text: The name.
        known: The valid names.
        kind: The word for a name in error messages, such as "cell".

    Raises:
        UsageError: The name is unknown, or there are several.
    """
    known = tuple(known)
    if "," in text:
        raise UsageError(f"one {kind} at a time, not {text!r}: choose from {', '.join(known)}")
    return parse_choices(text, known, kind)[0]


def parse_backends(text: str, flag: str = "--backends") -> tuple[str, ...]:
    """Returns the backends in a comma-separated list; a former name gives the current one, with a warning.

    Args:
        text: Names of the backend table or of schedules in kernels/, and functions in files as FILE.py:NAME.
        flag: The option, for error messages.

    Raises:
        UsageError: A backend is unknown, or its file doesn't exist.
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


def parse_backend(text: str, flag: str) -> str:
    """Returns a single backend, as `parse_backends` accepts it. Raises UsageError for none or several."""
    names = parse_backends(text, flag)
    if len(names) != 1:
        raise UsageError(f"{flag} takes one backend, not {text!r}: name one of them")
    return names[0]


def list_added_schedules() -> tuple[str, ...]:
    """Returns the schedules of kernels/ that have no row in the backend table, with and without low memory."""
    from kernels.layer.select import SCHEDULES  # takes seconds, which only an unknown name costs

    added = [name for name in SCHEDULES if translate_name(name) not in NAMES]
    return tuple(name + memory for name in added for memory in ("", LOW))


def parse_names(text: str, flag: str) -> tuple[str, ...]:
    """Returns the names in a comma-separated list, each once.

    Args:
        text: The list; an entry with a colon is FILE.py:NAME.
        flag: The option, for error messages.

    Raises:
        UsageError: An entry with a colon has another form, or its file doesn't exist.
    """
    names = split_list(text)
    for file, _, function in (name.rpartition(":") for name in names if ":" in name):
        if not (function.isidentifier() and file.endswith(".py")):
            raise UsageError(f"{flag} takes FILE.py:NAME for a function of your own, not {file}:{function}")
        if not Path(file).is_file():
            raise UsageError(f"{flag}: there is no file {file}")
    return names


def split_list(text: str) -> tuple[str, ...]:
    """Returns the parts of a comma-separated list without surrounding spaces, each once; empty parts are dropped."""
    return tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))


MANY = 1000
"""The most values of a range."""


def parse_sizes(text: str, flag: str) -> tuple[int, ...]:
    """Returns positive integers in increasing order, each once.

    Args:
        text: A comma-separated list of integers and ranges: 64..1024 doubles from 64 up to 1024, 64..256:64 counts in steps of 64.
        flag: The option, for error messages.

    Raises:
        UsageError: A part is neither, a range is empty, or it has more than MANY values.
    """
    return tuple(sorted({size for part in text.split(",") for size in parse_range(part, flag)}))


def parse_range(text: str, flag: str) -> list[int]:
    """Returns the integers of a range, or the only one of a text without "..". Raises UsageError as `parse_sizes` does."""
    start, dots, rest = text.partition("..")
    if not dots:
        return [parse_size(text, flag)]
    end, colon, step = rest.partition(":")
    first, last, by = parse_size(start, flag), parse_size(end, flag), parse_size(step, flag) if colon else 0
    if first > last:
        raise UsageError(f"{flag} {text} is empty: {flag} {last}..{first}{colon}{step} begins with the smaller number")
    if by and (last - first) // by >= MANY:
        raise UsageError(f"{flag} {text} has more than {MANY} values: take larger steps")
    return list(range(first, last + 1, by)) if by else [first << k for k in range((last // first).bit_length())]


def parse_size(text: str, flag: str, least: int = 1) -> int:
    """Returns an integer from `least` to 2³¹ - 1, or raises UsageError."""
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
    """Returns a shard in the form "I/N": "2/3" is the second of three.

    Args:
        text: The argument.
        flag: The option, for error messages.

    Raises:
        UsageError: The text has another form, or I isn't from 1 to N.
    """
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"{flag} takes one part of several, not {text!r}: {flag} 1/2 here and {flag} 2/2 elsewhere")
    return f"{int(found[1])}/{int(found[2])}"


def parse_name(text: str, flag: str) -> str:
    """Returns a name that can be part of a folder's. Raises UsageError for another text."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}", text):
        raise UsageError(f"{flag} takes at most 80 letters, digits, dots, dashes and underscores, not {text!r}: for example {flag} new")
    return text


def parse_duration(text: str, flag: str) -> float:
    """Returns a duration in seconds.

    Args:
        text: A number with its unit: 90s, 8m or 1.5h.
        flag: The option, for error messages.

    Raises:
        UsageError: The text has another form, or the duration is 0.
    """
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"{flag} takes a time with its unit, not {text!r}: for example {flag} 90s, 8m or 1h")
    return float(found[1]) * SECONDS[found[2]]


def parse_rates(text: str, flag: str) -> tuple[float, ...]:
    """Returns the positive numbers of a comma-separated list, or raises UsageError."""
    return tuple(parse_rate(part, flag) for part in text.split(","))


def parse_clip(text: str, flag: str) -> float:
    """Returns the largest norm of a gradient, a positive number; infinity for "none". Raises UsageError for another text."""
    if text.strip() == "none":
        return math.inf
    try:
        return parse_rate(text, flag)
    except UsageError:
        raise UsageError(f"{flag} takes a positive norm or none, not {text!r}: for example {flag} 1") from None


def parse_rate(text: str, flag: str) -> float:
    """Returns a positive number, or raises UsageError."""
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not 0 < number < math.inf:
        raise UsageError(f"{flag} takes positive numbers, not {text!r}: for example {flag} 0.003,0.01")
    return number


class ParsedType(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """A click type that converts text with `parse(text, flag)`."""

    def __init__(self, parse: Callable[[str, str], Any]):
        self.parse, self.name = parse, parse.__name__.removeprefix("parse_")

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.parse(value, param.opts[0] if param else "") if isinstance(value, str) else value


class Size(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """A click type for an integer of at least `least`."""

    name = "size"

    def __init__(self, least: int = 1):
        self.least = least

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return parse_size(value, param.opts[0] if param else "", self.least) if isinstance(value, str) else value


class Choice(click.ParamType):  # type: ignore[type-arg]  # which older versions of click don't have
    """A click type for one known name or, with `several`, for a comma-separated list of them.

    Args:
        known: The valid names.
        kind: The word for a name in error messages.
        several: Accept a list.
    """

    name = "choice"

    def __init__(self, known: Iterable[str], kind: str, several: bool = False):
        self.known, self.kind, self.parse = tuple(known), kind, parse_choices if several else parse_choice

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return self.parse(value, self.known, self.kind) if isinstance(value, str) else value


SIZE, SIZES, DURATION = Size(), ParsedType(parse_sizes), ParsedType(parse_duration)
SHARD, RATES, CLIP, BACKENDS, BACKEND, NAME = map(
    ParsedType, (parse_shard, parse_rates, parse_clip, parse_backends, parse_backend, parse_name)
)
DEVICE = Choice(("cpu", "cuda"), "device")

"""Reads `ratings.dat` of MovieLens and MovieTweetings: lines of user::item::rating::unixtime."""

from collections import defaultdict
from pathlib import Path

from bench.errors import UsageError

SEPARATOR = "::"
LIKE = "user::item::rating::unixtime, as in 1::0104257::8::1364690142"


def read_ratings(path: Path) -> list[list[str]]:
    """Returns each user's items in the order of their times; items of equal time and users keep the order of the file.

    Args:
        path: The file.

    Raises:
        UsageError: The file is missing, not UTF-8 or empty, or has an invalid line; the message names the line.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise UsageError(f"{path}: not UTF-8 at byte {error.start}: convert it, for example with iconv -t UTF-8") from None
    except OSError as error:
        raise UsageError(f"--data {path} can't be read ({error.strerror}): name a ratings.dat") from None
    events: dict[str, list[tuple[float, str]]] = defaultdict(list)
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            user, item, time = parse_rating(line, f"{path}: line {number}")
            events[user].append((time, item))
    if not events:
        raise UsageError(f"{path} is empty: a ratings.dat has lines of {LIKE}")
    return [[item for _, item in sorted(events[user], key=lambda event: event[0])] for user in events]


def parse_rating(line: str, place: str) -> tuple[str, str, float]:
    """Returns the user, the item and the time of a line. Raises UsageError if it is invalid."""
    fields = line.strip().split(SEPARATOR)
    if len(fields) != 4:
        raise UsageError(f"{place} has {len(fields)} fields, not 4: a line is {LIKE}")
    if not all(fields):
        raise UsageError(f"{place} has a field with nothing in it: a line is {LIKE}")
    user, item, rating, time = fields
    for name, value in (("rating", rating), ("time", time)):
        try:
            finite = abs(float(value)) < float("inf")
        except ValueError:
            finite = False
        if not finite:
            raise UsageError(f"{place}: the {name} {value!r} is no number: a line is {LIKE}")
    return user, item, float(time)

"""Markdown, as GitHub reads it."""

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

ESCAPES = str.maketrans({c: f"\\{c}" for c in "\\|*`~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(words: str) -> str:
    """Words that mean only themselves, on one line. An underscore inside a word already does."""
    return " ".join(words.translate(ESCAPES).split())


def table(headers: Sequence[str], rows: Iterable[Sequence[str]], left: int = 1) -> str:
    """A pipe table: its first `left` columns hold words, the others numbers, to the right. "" without rows."""
    escaped = [[escape(cell) for cell in row] for row in rows]
    sides = ["left"] * left + ["right"] * (len(headers) - left)
    return tabulate(escaped, [escape(h) for h in headers], tablefmt="pipe", disable_numparse=True, colalign=sides) if escaped else ""


def fold(summary: str, content: str) -> str:
    """Content behind a summary, to be opened; "" without content."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>" if content else ""


def fence(lines: str) -> str:
    """Between fences that are longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines}\n{fence}"

"""Markdown, as GitHub reads it."""

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

ESCAPES = str.maketrans({c: f"\\{c}" for c in "\\|*`~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(words: str) -> str:
    """Words that mean only themselves, on one line. An underscore inside a word already does."""
    return " ".join(words.translate(ESCAPES).split())


def pipe_table(headers: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[bool]) -> str:
    """A pipe table, its columns of `words` to the left and those of numbers to the right; "" without rows."""
    escaped = [[escape(cell) for cell in row] for row in rows]
    sides = ["left" if left else "right" for left in words]
    return tabulate(escaped, [escape(h) for h in headers], tablefmt="pipe", disable_numparse=True, colalign=sides) if escaped else ""


def fold(summary: str, content: str) -> str:
    """Content behind a summary, to be opened; "" without content."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>" if content else ""


def fence(lines: str) -> str:
    """Between fences that are longer than any in it."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines}\n{fence}"

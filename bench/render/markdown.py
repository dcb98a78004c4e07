"""Writes Markdown in GitHub's dialect."""

import re
from collections.abc import Iterable, Sequence

from tabulate import tabulate

ESCAPES = str.maketrans({c: f"\\{c}" for c in "\\|*`~"} | {"&": "&amp;", "<": "&lt;", ">": "&gt;"})


def escape(words: str) -> str:
    """Returns text on one line with all markup escaped. An underscore inside a word needs no escape."""
    return " ".join(words.translate(ESCAPES).split())


def pipe_table(headers: Sequence[str], rows: Iterable[Sequence[str]], words: Sequence[bool]) -> str:
    """Returns a pipe table; "" without rows. Columns of words are left-aligned, columns of numbers right-aligned."""
    escaped = [[escape(cell) for cell in row] for row in rows]
    sides = ["left" if left else "right" for left in words]
    return tabulate(escaped, [escape(h) for h in headers], tablefmt="pipe", disable_numparse=True, colalign=sides) if escaped else ""


def fold(summary: str, content: str) -> str:
    """Returns content that is folded behind a summary; "" without content."""
    return f"<details><summary>{summary}</summary>\n\n{content}\n\n</details>" if content else ""


def fence(lines: str) -> str:
    """Returns lines between fences that are longer than any fence in them."""
    fence = "`" * max(3, 1 + max(map(len, re.findall("`+", lines)), default=0))
    return f"{fence}\n{lines}\n{fence}"

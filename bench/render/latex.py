"""Writes tables in LaTeX, for the packages booktabs and, where a table has more than a page, longtable."""

import unicodedata
from collections.abc import Iterable

from bench.render.table import Table

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}
SYMBOLS = {
    "×": r"$\times$", "±": r"$\pm$", "≈": r"$\approx$", "·": r"$\cdot$", "★": r"$\star$", "☆": r"$\circ$", "†": r"\dag{}", "−": "$-$",
    "–": "--", "→": r"$\to$", "≤": r"$\leq$", "≥": r"$\geq$", "∞": r"$\infty$", "°": r"$^\circ$", "²": "$^2$", "³": "$^3$", "…": r"\dots{}",
    "⊙": r"$\odot$", "∂": r"$\partial$", "Δ": r"$\Delta$", "√": r"$\surd$", "‖": r"$\|$", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip
"""The characters of tables that a font of LaTeX may lack."""


def write_document(tables: Iterable[Table]) -> str:
    """Returns tables with rows, one after the other, for \\input in a document."""
    return "\n\n".join(["% \\usepackage{booktabs,longtable}", *(write_latex(table) for table in tables if table.rows)]) + "\n"


def write_latex(table: Table) -> str:
    """Returns a table that may break across pages, with its title and its caption."""
    columns, rows = table.format_cells()
    sides = "".join("l" if column.words else "r" for column in columns)
    head = " & ".join(escape(column.header) for column in columns)
    words = escape(". ".join(part.rstrip(".") for part in (table.title, table.caption) if part))
    lines = [f"{guard(' & '.join(map(escape, row)))} \\\\" for row in rows]
    return "\n".join([
        f"\\begin{{longtable}}{{{sides}}}", f"\\caption{{{words}.}} \\\\", "\\toprule", f"{head} \\\\", "\\midrule", "\\endhead",
        "\\bottomrule", "\\endfoot", *lines, "\\end{longtable}",
    ])  # fmt: skip


def guard(row: str) -> str:
    """Returns a row that the end of the row before doesn't take for its own argument."""
    return "{}" + row if row[:1] in ("[", "*") else row


def escape(words: str) -> str:
    """Returns text as LaTeX shows it. Greek letters become mathematics; a character without a name in LaTeX becomes a question mark."""
    return "".join(escape_letter(letter) for letter in words)


def escape_letter(letter: str) -> str:
    known = SPECIAL.get(letter) or SYMBOLS.get(letter)
    if known or letter.isascii():
        return known or letter
    name = unicodedata.name(letter, "").split()
    if name[:1] == ["GREEK"] and name[2:3] == ["LETTER"] and len(name) == 4:
        return f"$\\{name[3].lower() if name[1] == 'SMALL' else name[3].capitalize()}$"
    return letter if name[:1] == ["LATIN"] else "?"

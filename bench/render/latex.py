"""Writes tables in LaTeX, for the packages array, booktabs and longtable.

A page is narrower than a terminal or a browser: a table is in small type, long words and headers break into lines, and what still is too
wide is written in parts, each with the first columns.
"""

import textwrap
import unicodedata
from collections.abc import Iterable, Sequence

from bench.render.table import SIZES, Column, Table

SPECIAL = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"} | {c: f"\\{c}" for c in "&%$#_{}"}
SYMBOLS = {
    "×": r"$\times$", "±": r"$\pm$", "≈": r"$\approx$", "·": r"$\cdot$", "★": r"$\star$", "☆": r"$\circ$", "†": r"\dag{}", "−": "$-$",
    "–": "--", "→": r"$\to$", "≤": r"$\leq$", "≥": r"$\geq$", "∞": r"$\infty$", "°": r"$^\circ$", "µ": r"$\mu$", "…": r"\dots{}",
    "⊙": r"$\odot$", "∂": r"$\partial$", "Δ": r"$\Delta$", "√": r"$\surd$", "‖": r"$\|$", "<": "$<$", ">": "$>$", "|": "$|$",
}  # fmt: skip
"""The characters of tables that a font of LaTeX may lack."""
PAGE, GAP = 86, 2
"""The letters of a line in \\footnotesize in a page of the class article, and those that the space beside a column takes."""
GREEK = (
    "GAMMA", "DELTA", "THETA", "LAMBDA", "XI", "PI", "SIGMA", "UPSILON", "PHI", "PSI", "OMEGA",
    "ALPHA", "BETA", "EPSILON", "ZETA", "ETA", "IOTA", "KAPPA", "MU", "NU", "OMICRON", "RHO", "TAU", "CHI",
)  # fmt: skip
CAPITALS, LIKE_LATIN = GREEK[:11], {"ETA": "H", "RHO": "P", "CHI": "X"}
"""Capital letters: those with a name in LaTeX, and those that look like another Latin letter than the first one of their name."""
ACCENTS = ("0300", "0301", "0302", "0303", "0304", "0306", "0307", "0308", "030A", "030B", "030C", "0327")
LATIN_END, WHOLE = 0x180, "ßæœøåłÆŒØÅŁ"
"""The letters that every font of LaTeX has: with these accents up to a code point, and whole ones."""
SIZE_NAMES = {column.name for column in SIZES}
LONGEST, HEADER = 28, 14
"""The letters from which the words of a column break into lines, and those of a line of a header unless its column is wider."""


def write_document(tables: Iterable[Table]) -> str:
    """Returns tables with rows, one after the other, for \\input in a document."""
    return "\n\n".join(["% \\usepackage{array,booktabs,longtable}", *(write_latex(table) for table in tables if table.rows)]) + "\n"


def write_latex(table: Table) -> str:
    """Returns a table that may break across pages, with its title and its caption, in as many parts as its width takes."""
    columns, rows = table.format_cells()
    heads = [textwrap.wrap(column.header, max(HEADER, *(len(row[k]) for row in rows))) or [""] for k, column in enumerate(columns)]
    widths = [min(LONGEST, max(map(len, [*head, *(row[k] for row in rows)]))) for k, head in enumerate(heads)]
    parts, words = split_columns(columns, widths), ". ".join(part.rstrip(".") for part in (table.title, table.caption) if part)
    written = []
    for n, part in enumerate(parts, 1):
        long = [k for k in part if max(len(row[k]) for row in rows) > LONGEST]
        room = LONGEST + (PAGE - sum(widths[k] + GAP for k in part)) / max(1, len(long))
        wrapped = f">{{\\raggedright\\arraybackslash}}p{{{room / PAGE:.2f}\\linewidth}}"
        sides = "".join(wrapped if k in long else "l" if columns[k].words else "r" for k in part)
        head = " & ".join(write_header(heads[k], columns[k].words) for k in part)
        lines = [f"{guard(' & '.join(escape(row[k]) for k in part))} \\\\" for row in rows]
        title = escape(f"{words}{f' (part {n} of {len(parts)})' if len(parts) > 1 else ''}.")
        written.append("\n".join([
            "{\\footnotesize\\setlength{\\tabcolsep}{3pt}\\setlength{\\LTcapwidth}{\\linewidth}", f"\\begin{{longtable}}{{{sides}}}",
            f"\\caption{{{title}}} \\\\", "\\toprule", f"{guard(head)} \\\\", "\\midrule", "\\endhead",
            "\\bottomrule", "\\endfoot", *lines, "\\end{longtable}}",
        ]))  # fmt: skip
    return "\n\n".join(written)


def split_columns(columns: Sequence[Column], widths: Sequence[int]) -> list[list[int]]:
    """Returns the columns of each part of a table. A part begins with the leading columns of words and sizes, which name a row."""
    named = next((k for k, column in enumerate(columns) if not (column.words or column.name in SIZE_NAMES)), len(columns))
    while named > 1 and sum(widths[:named]) + GAP * named > 0.7 * PAGE:
        named -= 1
    parts, keys = list[list[int]](), list(range(min(named, len(columns) - 1)))
    for k in range(len(keys), len(columns)):
        if not parts or sum(widths[j] + GAP for j in (*parts[-1], k)) > PAGE:
            parts.append([*keys])
        parts[-1].append(k)
    return parts


def write_header(lines: Sequence[str], words: bool) -> str:
    broken = r" \\ ".join(map(escape, lines))
    return f"\\shortstack[{'l' if words else 'r'}]{{{broken}}}" if len(lines) > 1 else broken


def guard(row: str) -> str:
    """Returns a row that the end of the row before doesn't take for its own argument."""
    return "{}" + row if row[:1] in ("[", "*") else row


def escape(words: str) -> str:
    """Returns text as LaTeX shows it. Greek letters, small and raised ones become mathematics; a character that its fonts lack becomes a
    question mark."""
    return "".join(escape_letter(letter) for letter in words)


def escape_letter(letter: str) -> str:
    known = SPECIAL.get(letter) or SYMBOLS.get(letter)
    if known or (letter.isascii() and letter.isprintable()):
        return known or letter
    name = unicodedata.name(letter, "").split()
    if name[:1] == ["GREEK"] and len(name) == 4 and (greek := name[3].replace("LAMDA", "LAMBDA")) in GREEK:
        return write_greek(greek, small=name[1] == "SMALL")
    kind, *parts = unicodedata.decomposition(letter).split() or [""]
    if kind in ("<sub>", "<super>") and len(parts) == 1 and (base := chr(int(parts[0], 16)).replace("−", "-")).isascii():
        return f"${'_' if kind == '<sub>' else '^'}{{{base}}}$"
    return letter if letter in WHOLE or (parts[:1] and parts[0] in ACCENTS and len(kind) == 4 and ord(letter) < LATIN_END) else "?"


def write_greek(name: str, small: bool) -> str:
    """Returns a Greek letter. Those that look like Latin ones have no name in LaTeX."""
    if small:
        return "o" if name == "OMICRON" else f"$\\{name.lower()}$"
    return f"$\\{name.capitalize()}$" if name in CAPITALS else LIKE_LATIN.get(name, name[:1])

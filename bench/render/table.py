"""A table: columns that say how their values are read, rows of values, and four ways to write it.

    Table("Memory", [Column("cell", words=True), Column("weights", "weights", "mib", format_mib)], [["gru", 2**20]])

A value is a number in SI units, an Estimate, a Speed, None where there is nothing, or a status in words where there is no number. In CSV a
column of numbers holds numbers alone: what an interval or a verdict adds, and a status, are columns of their own beside it, and the
columns of several backends or lengths are rows.
"""

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from html import escape as escape_html
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table as RichTable
from rich.text import Text

from bench.analysis.median_ci import Estimate
from bench.analysis.verdict import Speed
from bench.records import FAILURES
from bench.render import markdown
from bench.render.formatting import NONE

UNITS = {"ms": 1e3, "us": 1e6, "mib": 2.0**-20, "mhz": 1e-6, "percent": 100.0, "gflops": 1e-9, "gbs": 1e-9}
"""How many of a unit are in one of SI, by its name in CSV."""
NARROW = 20
LONG = 12
"""Rows from which a page has a field to filter a table by."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        header: Above it, for a reader.
        name: In CSV, without its unit; "" for what is there for a reader alone.
        unit: In CSV, one of UNITS or any other word; "" for a number without one.
        show: The text of a value that is neither None nor a status.
        words: Whether it holds words, to the left, and no numbers.
        at: The backend, length or name that it is of, where a table has one such column for each.
        parts: What a value that is a tuple is made of, a column for each. A value that is a dictionary needs none: its keys name them.
        brief: The text in a terminal, where that is shorter.
        terminal: Whether a terminal shows it.
    """

    header: str
    name: str = ""
    unit: str = ""
    show: Callable[[Any], str] = str
    words: bool = False
    at: str = ""
    parts: tuple["Column", ...] = ()
    brief: Callable[[Any], str] | None = None
    terminal: bool = True

    def text(self, value: Any, brief: bool = False) -> str:
        if value is None or isinstance(value, str):
            return value or NONE
        return (self.brief or self.show)(value) if brief else self.show(value)

    def fields(self, value: Any) -> dict[str, Any]:
        """The names and values in CSV."""
        if self.parts:
            values = value if isinstance(value, tuple) else (None,) * len(self.parts)
            found = {k: v for part, each in zip(self.parts, values, strict=True) for k, v in part.fields(each).items()}
            return found | {"status": value if isinstance(value, str) else None}
        if not self.name or self.words:
            return {self.name: value} if self.name else {}
        if isinstance(value, dict):
            return {f"{self.name}_{key}": plain(found, UNITS.get(self.unit, 1)) for key, found in value.items()}
        estimate = value.ratio if isinstance(value, Speed) else value if isinstance(value, Estimate) else None
        interval = (estimate.low, estimate.high) if estimate and estimate.bounded else (None, None)
        status, number = (value, None) if isinstance(value, str) else (None, estimate.value if estimate else value)
        end = f"_{self.unit}" if self.unit else ""
        numbers = {"": number, "_low": interval[0], "_high": interval[1]}
        return {
            **{f"{self.name}{ending}{end}": plain(found, UNITS.get(self.unit, 1)) for ending, found in numbers.items()},
            f"{self.name}_verdict": value.verdict if isinstance(value, Speed) else None,
            f"{self.name}_status": status,
        }


def plain(number: Any, scale: float) -> Any:
    """A number as CSV has it, with twelve digits: the last ones are of the machine."""
    if isinstance(number, bool):
        return "yes" if number else "no"
    return float(f"{scale * number:.12g}") if isinstance(number, float) else number if number is None or scale == 1 else scale * number


@dataclass(frozen=True)
class Table:
    """Columns and rows under a title and a caption.

    Args:
        across: In CSV, the name of the column that tells apart what a reader has side by side: "backend", "T".
        level: Of its heading in a report; 0 folds the table behind its title.
        grouped: In a terminal, rows of the same first value are set together.
        note: What a terminal says below, where it shows less.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    across: str = ""
    level: int = 2
    grouped: bool = False
    note: str = ""

    def shown(self, brief: bool = False) -> tuple[list[Column], list[list[str]]]:
        """The columns that have something in a row, and the text of every value."""
        places = [k for k, column in enumerate(self.columns) if column.terminal or not brief]
        columns = [self.columns[k] for k in places]
        return columns, [[column.text(row[k], brief) for k, column in zip(places, columns, strict=True)] for row in self.rows]


def drop_empty(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> tuple[list[Column], list[list[Any]]]:
    """The columns that have a value in any row, and the rows of these."""
    kept = [k for k in range(len(columns)) if any(row[k] not in (None, "") for row in rows)]
    return [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def write_table(table: Table) -> str:
    """A pipe table, folded behind its title at level 0."""
    columns, rows = table.shown()
    body = markdown.pipe_table([column.header for column in columns], rows, [column.words for column in columns])
    return body if table.level else markdown.fold(table.title, body)


def write_markdown(table: Table) -> str:
    """A heading, the caption and a pipe table."""
    return "\n\n".join(part for part in (heading(table), table.caption, write_table(table)) if part)


def heading(table: Table) -> str:
    return f"{'#' * (table.level or 2)} {table.title}"


def write_html(table: Table, name: str = "", sheet: str = "") -> str:
    """A table in a frame that scrolls, with the address of its CSV file `sheet`; what a reader can sort by lies in the text."""
    columns, rows = table.shown()
    right = ["" if column.words else ' class="n"' for column in columns]
    said = [escape_html(column.header) if column.header else '<span class="hidden">what</span>' for column in columns]
    lines = [f"<tr>{''.join(f'<td{side}>{escape_html(t)}</td>' for side, t in zip(right, row, strict=True))}</tr>" for row in rows]
    link = (
        f'<p class="sheet"><a href="{escape_html(sheet)}" download>CSV<span class="hidden"> of the table {name}</span></a></p>'
        if sheet
        else ""
    )
    return "\n".join([
        f'<div class="table"{" data-filter" if len(rows) >= LONG else ""}>{link}<div class="scroll" role="region" tabindex="0" '
        f'aria-label="Table {name}"><table id="table-{name}" data-sort="">',
        f'<thead><tr>{"".join(f"""<th scope="col"{side}>{t}</th>""" for side, t in zip(right, said, strict=True))}</tr></thead>',
        "<tbody>", *lines, "</tbody></table></div></div>",
    ])  # fmt: skip


def write_csv(table: Table) -> str:
    """A header and lines of names, numbers and statuses; columns without any value are left out."""
    return write_rows(list(_records(table)))


def write_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Rows of plain data as CSV: a header, then a line for each; empty is what isn't known."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _records(table: Table) -> Iterator[dict[str, Any]]:
    places = list(dict.fromkeys(column.at for column in table.columns if column.at)) or [""]
    found = []
    for row in table.rows:
        shared = {k: v for column, value in zip(table.columns, row, strict=True) if not column.at for k, v in column.fields(value).items()}
        for at in places:
            own = {
                k: v
                for column, value in zip(table.columns, row, strict=True)
                if at and column.at == at
                for k, v in column.fields(value).items()
            }
            if not at or any(value is not None for value in own.values()):
                found.append({**shared, **({table.across: at} if at else {}), **own})
    names = [
        name for name in dict.fromkeys(name for line in found for name in line) if any(line.get(name) not in (None, "") for line in found)
    ]
    yield from ({name: line.get(name) for name in names} for line in found)


def print_table(table: Table) -> Group:
    """A table for a terminal, under its title and over its caption. Where room is short, columns of numbers wrap before short names."""
    columns, rows = table.shown(brief=True)
    made = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column.header, justify="left" if column.words else "right", overflow="fold")
    firsts = [row[0] for row in rows]
    for k, row in enumerate(rows):
        again, last = table.grouped and k > 0 and firsts[k - 1] == row[0], k + 1 == len(rows) or firsts[k + 1] != row[0]
        made.add_row("" if again else row[0], *(Text(text, style=style(text)) for text in row[1:]), end_section=table.grouped and last)
    made.columns[0].no_wrap = all(len(name) <= NARROW for name in firsts)
    caption = " ".join(part for part in (table.caption, table.note) if part)
    return Group("", Text(table.title, style="bold"), made, *([Text(caption, style="dim")] if caption else []))


def style(text: str) -> str:
    """The colour of a value in a terminal: failures red, the fastest of a row green."""
    return "red" if text in FAILURES else {"★": "bold green", "☆": "green"}.get(text[:1], "")

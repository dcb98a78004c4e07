"""A table: columns with name, unit and formatter, rows of values, and four writers (terminal, markdown, CSV, HTML).

    Table("Memory", [CELL, Column("weights", "weights", "mib", format_mib)], [["gru", 2**20]])

A value is a number in SI units, an Estimate, a Speed, None, or a status in words where there is no number. In CSV a column of numbers
contains only numbers: intervals, verdicts and statuses have columns of their own, and the columns of several backends or lengths become
rows.
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
"""The factor from SI to a unit, by its name in CSV."""
NARROW = 20
LONG = 12
"""The number of rows from which a page offers a filter."""


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Args:
        header: The header for a reader.
        name: The name in CSV without its unit; "" leaves the column out of CSV.
        unit: The unit in CSV, a key of UNITS or any other word; "" for none.
        show: Formats a value that is neither None nor a status.
        words: Whether the column has words (left-aligned) instead of numbers.
        at: The backend, length or name that the column belongs to, if a table has one such column for each.
        parts: The columns of the parts of a tuple. A dictionary needs none: its keys are the names.
        brief: A shorter formatter for a terminal.
        terminal: Whether a terminal shows the column.
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

    def format_value(self, value: Any, brief: bool = False) -> str:
        """Returns the text of a value; `brief` selects the terminal's formatter."""
        if value is None or isinstance(value, str):
            return value or NONE
        return (self.brief or self.show)(value) if brief else self.show(value)

    def list_fields(self, value: Any) -> dict[str, Any]:
        """Returns the fields of a value in CSV by name."""
        if self.parts:
            values = value if isinstance(value, tuple) else (None,) * len(self.parts)
            found = {k: v for part, each in zip(self.parts, values, strict=True) for k, v in part.list_fields(each).items()}
            return found | {"status": value if isinstance(value, str) else None}
        if not self.name or self.words:
            return {self.name: value} if self.name else {}
        if isinstance(value, dict):
            return {f"{self.name}_{key}": scale_number(found, UNITS.get(self.unit, 1)) for key, found in value.items()}
        estimate = value.ratio if isinstance(value, Speed) else value if isinstance(value, Estimate) else None
        interval = (estimate.low, estimate.high) if estimate and estimate.bounded else (None, None)
        status, number = (value, None) if isinstance(value, str) else (None, estimate.value if estimate else value)
        end = f"_{self.unit}" if self.unit else ""
        numbers = {"": number, "_low": interval[0], "_high": interval[1]}
        return {
            **{f"{self.name}{ending}{end}": scale_number(found, UNITS.get(self.unit, 1)) for ending, found in numbers.items()},
            f"{self.name}_verdict": value.verdict if isinstance(value, Speed) else None,
            f"{self.name}_status": status,
        }


def make_word_column(name: str, header: str = "") -> Column:
    """Returns a column of words. Its name in CSV is also its header, unless `header` is given."""
    return Column(header or name, name, words=True)


CELL, BACKEND, INIT = map(make_word_column, ("cell", "backend", "initialisation"))
SIZES = tuple(Column(key, key) for key in ("T", "B", "D", "H"))


def scale_number(number: Any, scale: float) -> Any:
    """Returns a number in another unit with twelve digits, because the last digits depend on the machine."""
    if isinstance(number, bool):
        return "yes" if number else "no"
    return float(f"{scale * number:.12g}") if isinstance(number, float) else number if number is None or scale == 1 else scale * number


@dataclass(frozen=True)
class Table:
    """Columns and rows under a title and a caption.

    Args:
        title: The title.
        columns: The columns.
        rows: The values of each row.
        caption: A sentence above or below the table.
        across: The name of the CSV column for what stands side by side: "backend", "T".
        level: The level of its heading in a report; 0 folds the table behind its title.
        grouped: Whether a terminal groups rows with the same first value.
        note: A sentence for a terminal that shows fewer columns.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Any]]
    caption: str = ""
    across: str = ""
    level: int = 2
    grouped: bool = False
    note: str = ""

    def format_cells(self, brief: bool = False) -> tuple[list[Column], list[list[str]]]:
        """Returns the visible columns and the text of every value."""
        places = [k for k, column in enumerate(self.columns) if column.terminal or not brief]
        columns = [self.columns[k] for k in places]
        return columns, [[column.format_value(row[k], brief) for k, column in zip(places, columns, strict=True)] for row in self.rows]


def drop_empty(columns: Sequence[Column], rows: Sequence[Sequence[Any]]) -> tuple[list[Column], list[list[Any]]]:
    """Returns the columns that have a value in any row, and the rows without the others."""
    kept = [k for k in range(len(columns)) if any(row[k] not in (None, "") for row in rows)]
    return [columns[k] for k in kept], [[row[k] for k in kept] for row in rows]


def write_table(table: Table, brief: bool = False) -> str:
    """Returns a pipe table, folded behind its title at level 0; `brief` as in a terminal."""
    columns, rows = table.format_cells(brief)
    body = markdown.pipe_table([column.header for column in columns], rows, [column.words for column in columns])
    return body if table.level else markdown.fold(table.title, body)


def write_markdown(table: Table, brief: bool = False) -> str:
    """Returns a heading, the caption and a pipe table; `brief` as in a terminal."""
    return "\n\n".join(part for part in (make_heading(table), table.caption, write_table(table, brief)) if part)


def make_heading(table: Table) -> str:
    """Returns the heading of a table as markdown."""
    return f"{'#' * (table.level or 2)} {table.title}"


def write_html(table: Table, name: str = "", sheet: str = "") -> str:
    """Returns a table in a scrollable frame with a link to its CSV file `sheet`. The text itself has what a reader can sort by."""
    columns, rows = table.format_cells()
    right = ["" if column.words else ' class="n"' for column in columns]
    said = [escape_html(column.header) if column.header else '<span class="hidden">what</span>' for column in columns]
    lines = [f"<tr>{''.join(f'<td{side}>{escape_html(t)}</td>' for side, t in zip(right, row, strict=True))}</tr>" for row in rows]
    named = f'<span class="hidden"> of the table {name}</span>'
    link = f'<p class="sheet"><a href="{escape_html(sheet)}" download>CSV{named}</a></p>' if sheet else ""
    return "\n".join([
        f'<div class="table"{" data-filter" if len(rows) >= LONG else ""}>{link}<div class="scroll" role="region" tabindex="0" '
        f'aria-label="Table {name}"><table id="table-{name}" data-sort="">',
        f'<thead><tr>{"".join(f"""<th scope="col"{side}>{t}</th>""" for side, t in zip(right, said, strict=True))}</tr></thead>',
        "<tbody>", *lines, "</tbody></table></div></div>",
    ])  # fmt: skip


def write_csv(table: Table) -> str:
    """Returns a table as CSV. Columns without any value are left out."""
    return write_rows(list(_list_records(table)))


def write_rows(rows: Sequence[dict[str, Any]]) -> str:
    """Returns rows of plain data as CSV. Missing values are empty."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def _list_records(table: Table) -> Iterator[dict[str, Any]]:
    def read(row: Sequence[Any], at: str) -> dict[str, Any]:
        pairs = [pair for pair in zip(table.columns, row, strict=True) if pair[0].at == at]
        return {name: found for column, value in pairs for name, found in column.list_fields(value).items()}

    lines = []
    for row in table.rows:
        for at in list(dict.fromkeys(column.at for column in table.columns if column.at)) or [""]:
            own = read(row, at) if at else {}
            if not at or any(value is not None for value in own.values()):
                lines.append({**read(row, ""), **({table.across: at} if at else {}), **own})
    names = [name for name in dict.fromkeys(k for line in lines for k in line) if any(line.get(name) not in (None, "") for line in lines)]
    yield from ({name: line.get(name) for name in names} for line in lines)


def print_table(table: Table) -> Group:
    """Returns a table for a terminal between its title and its caption. In narrow terminals columns of numbers wrap before short names."""
    columns, rows = table.format_cells(brief=True)
    made = RichTable(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), pad_edge=False, show_edge=False)
    for column in columns:
        made.add_column(column.header, justify="left" if column.words else "right", overflow="fold")
    firsts = [row[0] for row in rows]
    for k, row in enumerate(rows):
        again, last = table.grouped and k > 0 and firsts[k - 1] == row[0], k + 1 == len(rows) or firsts[k + 1] != row[0]
        cells = [Text(text, style=choose_color(text)) for text in row[1:]]
        made.add_row("" if again else row[0], *cells, end_section=table.grouped and last)
    made.columns[0].no_wrap = all(len(name) <= NARROW for name in firsts)
    caption = " ".join(part for part in (table.caption, table.note) if part)
    return Group("", Text(table.title, style="bold"), made, *([Text(caption, style="dim")] if caption else []))


def choose_color(text: str) -> str:
    """Returns the colour of a value in a terminal: red for failures, green for the fastest of a row."""
    return "red" if text in FAILURES else {"★": "bold green", "☆": "green"}.get(text[:1], "")

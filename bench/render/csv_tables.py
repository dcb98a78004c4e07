"""Writes the tables of a report as CSV files, and one with the numbers of every case."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.records import Records
from bench.render.case_rows import list_case_rows
from bench.render.table import Table, write_csv, write_rows

FOLDER = "tables"


def write_sheets(folder: Path, tables: Sequence[Table | str], records: Records) -> list[Path]:
    """Writes tables/NAME.csv for each table of a report and tables/cases.csv, and removes CSV files of an older report.

    Args:
        folder: The folder of the report.
        tables: The parts of the report; text is ignored.
        records: The records of the run.

    Returns:
        The paths of the files.
    """
    found = {f"{name}.csv": write_csv(table) for name, table in name_tables(tables)}
    if records.cases:
        found["cases.csv"] = write_rows(list_case_rows(records))
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    for old in place.glob("*.csv"):
        if old.name not in found:
            old.unlink()
    for name, text in found.items():
        (place / name).write_text(text, encoding="utf-8")
    return [place / name for name in found]


def name_tables(parts: Sequence[Table | str]) -> Iterator[tuple[str, Table]]:
    """Yields every table of a report with its name: the title of its section, then its own."""
    seen, section = Counter[str](), ""
    for table in parts:
        if not isinstance(table, Table):
            continue
        title = make_slug(table.title.partition(":")[0] if table.level == 0 else table.title)
        section, name = (title, title) if table.level == 2 else (section, f"{section}-{title}")
        seen[name] += 1
        yield (name if seen[name] == 1 else f"{name}-{seen[name]}"), table


def make_slug(title: str) -> str:
    """Returns a title as an address: "training-t-128" for "Training, T=128"."""
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")

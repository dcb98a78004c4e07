"""The tables of a report as CSV files: one for each, as it is shown, and one with the numbers of every case."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from markdown_it import MarkdownIt
from markdown_it.token import Token

from bench.records import Records
from bench.render.case_rows import list_case_rows, to_csv

FOLDER = "tables"


def write(folder: Path, report: str, records: Records) -> list[Path]:
    """tables/NAME.csv for each table of a report, named for its heading, and tables/cases.csv; those of an older report go."""
    found = {f"{name}.csv": text for name, text in sheets(report).items()}
    if records.cases:
        found["cases.csv"] = to_csv(list_case_rows(records))
    place = folder / FOLDER
    place.mkdir(exist_ok=True)
    for old in place.glob("*.csv"):
        if old.name not in found:
            old.unlink()
    for name, text in found.items():
        (place / name).write_text(text, encoding="utf-8")
    return [place / name for name in found]


def sheets(report: str) -> dict[str, str]:
    """By name, the tables of a report as CSV."""
    made: dict[str, str] = {}
    for name, lines in tables(MarkdownIt("commonmark", {"html": True}).enable("table").parse(report)):
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows(lines)
        made[name] = out.getvalue()
    return made


def tables(tokens: Sequence[Token]) -> Iterator[tuple[str, list[list[str]]]]:
    """Every table with its name, in order."""
    seen, section, heading, lines, inside = Counter[str](), "", "", list[list[str]](), ""
    for token, after in zip(tokens, [*tokens[1:], None], strict=True):
        if token.type == "heading_open" and after:
            heading = slug(after.content)
            section = heading if token.tag == "h2" else section
            heading = heading if token.tag == "h2" else f"{section}-{heading}"
        elif token.type == "html_block" and (folded := re.search("<summary>(.*?)</summary>", token.content)):
            inside = slug(folded[1].partition(":")[0])
        elif token.type == "html_block" and "</details>" in token.content:
            inside = ""
        elif token.type == "table_open":
            lines = []
        elif token.type == "tr_open":
            lines.append([])
        elif token.type in ("th_open", "td_open") and after:
            lines[-1].append(words(after))
        elif token.type == "table_close":
            name = f"{section}-{inside}" if inside else heading
            seen[name] += 1
            yield (name if seen[name] == 1 else f"{name}-{seen[name]}"), lines


def words(inline: Token) -> str:
    """What an inline token says, without its markup."""
    return "".join(child.content for child in inline.children or [])


def slug(title: str) -> str:
    """A title as an address: "Training, T=128" is training-t-128."""
    return re.sub(r"[^\w]+", "-", title.lower()).strip("-")

"""Two runs side by side, for a terminal and in the forms of `bench.render.output_format`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rich.text import Text

from bench.analysis.comparison import Comparison, Pair
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_timed, median_seconds
from bench.analysis.verdict import Verdict
from bench.records import Case, CaseRecord
from bench.render.case_rows import speed_fields
from bench.render.export import to_json, write_text
from bench.render.formatting import NONE, count_noun, format_factor, format_ms, format_speed_interval, label_cell
from bench.render.header import margin
from bench.render.markdown import escape
from bench.render.method import VERDICTS
from bench.render.output_format import OutputFormat
from bench.render.table import Column, Table, print_table, write_markdown, write_rows
from bench.render.tables import BACKEND, CELL, SIZES, word_column
from bench.render.terminal import terminal

PLACES: tuple[tuple[Column, Callable[[Case], Any]], ...] = (
    (CELL, label_cell),
    (BACKEND, lambda case: case.backend),
    (word_column("task"), lambda case: case.mode if case.input_product else f"{case.mode}, input projection precomputed"),
    *((column, partial(lambda name, case: getattr(case, name), column.name)) for column in SIZES),
    (word_column("dtype"), lambda case: case.dtype),
    (word_column("precision"), lambda case: case.precision),
)
"""What a case is, column by column."""
TITLES: dict[Verdict, str] = {"slower": "Slower", "faster": "Faster", "ambiguous": "Inconclusive", "tie": "Ties"}
SPEEDS = (
    Column("A, ms", "a_time", "ms", format_ms), Column("B, ms", "b_time", "ms", format_ms),
    Column("B's speed", "speedup", "", format_speed_interval),
)  # fmt: skip
CHANGES = tuple(map(word_column, ("A", "B", "why")))
CAPTION = (
    f"Medians, and how many times as fast as A B is; {VERDICTS}. The calls were not interleaved: whatever changed between the "
    "runs, code or not, is in the ratio."
)


def show(comparison: Comparison, output_format: OutputFormat) -> None:
    """To stdout."""
    if output_format == "json":
        write_text(to_json(document(comparison)))
    elif output_format == "csv":
        write_text(write_rows([flat(pair) for pair in comparison.pairs]))
    elif output_format == "md":
        write_text(markdown(comparison))
    else:
        show_tables(comparison)


def show_tables(comparison: Comparison) -> None:
    out = terminal()
    for part in warning(comparison):
        out.print(Text(part, style="bold red"))
    for line in summary(comparison):
        out.print(Text(line))
    for table in comparison_tables(comparison):
        out.print(print_table(table))
    out.print(Text(CAPTION, style="dim"))


def markdown(comparison: Comparison) -> str:
    parts = [
        f"# {escape(comparison.b.name)} against {escape(comparison.a.name)}",
        *(f"**{escape(part)}**" for part in warning(comparison)),
        *(escape(line) for line in summary(comparison)),
        *map(write_markdown, comparison_tables(comparison)),
        CAPTION,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def warning(comparison: Comparison) -> list[str]:
    """Above everything where the machines or settings are unlike."""
    return (
        [f"UNLIKE: A and B differ in {', '.join(comparison.unlike)}. These ratios are not about the code alone."]
        if comparison.unlike
        else []
    )


def summary(comparison: Comparison) -> list[str]:
    runs = [
        f"{name}: {side.name}, commit {side.commit}, {count_noun(len(side.runs), 'run')}"
        for name, side in (("A", comparison.a), ("B", comparison.b))
    ]
    verdicts = ", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in ("slower", "faster", "tie", "ambiguous"))
    mean = comparison.geomean
    speed = (
        f"B is {format_factor(mean)} as fast as A (geometric mean of {count_noun(len(comparison.compared), 'case')})."
        if mean
        else "Nothing has a time in both."
    )
    silent = sum(not pair.speed and not pair.changed for pair in comparison.pairs)
    _, shared = distinguishing_columns(comparison)
    same = f"; {silent} without a time in either, alike in status" if silent else ""
    return [
        *runs,
        *(["A and B are the same records: there is nothing to compare."] if comparison.a.runs == comparison.b.runs else []),
        f"{count_noun(len(comparison.compared), 'case')} compared: {verdicts}. {speed}",
        f"{count_noun(len(comparison.changed), 'case')} not compared{same}; {margin(comparison.margin)}",
        f"All cases: {shared}." if shared else "",
    ]


def distinguishing_columns(comparison: Comparison) -> tuple[list[tuple[Column, Callable[[Case], Any]]], str]:
    """The columns that tell one case from another, and in words what all of them share."""
    shared = {column.name: {str(entry(p.case)) for p in comparison.pairs if p.speed or p.changed} for column, entry in PLACES[2:]}
    kept = [(column, entry) for column, entry in PLACES if len(shared.get(column.name, ())) != 1]
    return kept, ", ".join(f"{name} {values.pop()}" for name, values in shared.items() if len(values) == 1)


def comparison_tables(comparison: Comparison) -> Iterator[Table]:
    """One for each verdict, and one for what has none."""
    kept, _ = distinguishing_columns(comparison)
    names = [column for column, _ in kept]
    for verdict, title in TITLES.items():
        if found := [(pair, speed) for pair, speed in comparison.compared if speed.verdict == verdict]:
            rows = [[*(of(pair.case) for _, of in kept), time_of(pair.a), time_of(pair.b), speed] for pair, speed in found]
            yield Table(f"{title}: {count_noun(len(rows), 'case')}", [*names, *SPEEDS], rows)
    if comparison.changed:
        rows = [[*(of(pair.case) for _, of in kept), status(pair.a), status(pair.b), pair.why] for pair in comparison.changed]
        yield Table(f"Not compared: {count_noun(len(rows), 'case')}", [*names, *CHANGES], rows)


def time_of(record: CaseRecord | None) -> Estimate | None:
    return median_seconds(record) if record and is_timed(record) else None


def status(record: CaseRecord | None) -> str:
    if record is None:
        return NONE
    return f"{record.status}: {record.reason}" if record.reason else record.status


def document(comparison: Comparison) -> dict[str, Any]:
    sides = {
        name: {"name": side.name, "commit": side.commit, "runs": len(side.runs), "margin": side.margin}
        for name, side in (("a", comparison.a), ("b", comparison.b))
    }
    return {
        **sides,
        "unlike": comparison.unlike,
        "margin": comparison.margin,
        "geomean": comparison.geomean,
        "compared": len(comparison.compared),
        "cases": [flat(pair) for pair in comparison.pairs],
    }


def flat(pair: Pair) -> dict[str, Any]:
    """A pair as plain data: seconds, and how many times as fast B is."""
    return {
        **pair.case.model_dump(exclude={"aa_repeat"}),
        **{f"a_{name}": value for name, value in side(pair.a).items()},
        **{f"b_{name}": value for name, value in side(pair.b).items()},
        **speed_fields(pair.speed),
        "why": pair.why,
    }


def side(record: CaseRecord | None) -> dict[str, Any]:
    known = record is not None and is_timed(record)
    return {
        "status": record.status if record else "absent",
        "reason": record.reason if record else "",
        "median": median_seconds(record).value if record and known else None,
        "samples": len(record.samples) if record else 0,
    }

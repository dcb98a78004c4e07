"""Renders the comparison of two runs for a terminal and in the formats of `bench.render.output_format`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bench.analysis.comparison import Comparison, Pair, RunSet
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_timed, median_time
from bench.analysis.verdict import Verdict
from bench.records import Case, CaseRecord
from bench.render.case_rows import list_speed_fields
from bench.render.export import write_format
from bench.render.formatting import NONE, count_noun, format_factor, format_ms, format_speed_interval, label_cell
from bench.render.header import describe_margin
from bench.render.markdown import escape
from bench.render.method import VERDICTS
from bench.render.output_format import OutputFormat
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, make_word_column, print_table, write_markdown

PLACES: tuple[tuple[Column, Callable[[Case], Any]], ...] = (
    (CELL, label_cell),
    (BACKEND, lambda case: case.backend),
    (make_word_column("task"), lambda case: case.mode if case.input_product else f"{case.mode}, input projection precomputed"),
    *((column, partial(lambda name, case: getattr(case, name), column.name)) for column in SIZES),
    (make_word_column("dtype"), lambda case: case.dtype),
    (make_word_column("precision"), lambda case: case.precision),
)
"""The columns that describe a case."""
TITLES: dict[Verdict, str] = {"slower": "Slower", "faster": "Faster", "ambiguous": "Inconclusive", "tie": "Ties", "unstable": "Unstable"}
SPEEDS = (
    Column("A, ms", "a_time", "ms", format_ms), Column("B, ms", "b_time", "ms", format_ms),
    Column("B's speed", "speedup", "", format_speed_interval),
)  # fmt: skip
CHANGES = tuple(map(make_word_column, ("A", "B", "why")))
CAPTION = (
    f"Times are medians. B's speed is A's time divided by B's time. {VERDICTS}. The calls of A and B were not interleaved: the ratio "
    "includes whatever changed between the runs."
)


def write_comparison(comparison: Comparison, output_format: OutputFormat) -> None:
    """Writes a comparison to stdout.

    Args:
        comparison: The comparison.
        output_format: The format; "" prints tables.
    """
    write_format(
        output_format, lambda: build_document(comparison), lambda: [make_pair_row(pair) for pair in comparison.pairs],
        lambda: render_comparison(comparison), lambda: list_blocks(comparison),
    )  # fmt: skip


def list_blocks(comparison: Comparison) -> Iterator[RenderableType]:
    """Yields the parts of a comparison for a terminal."""
    yield from (Text(part, style="bold red") for part in list_warnings(comparison))
    yield from map(Text, summarize(comparison))
    yield from map(print_table, comparison_tables(comparison))
    yield Text(CAPTION, style="dim")


def render_comparison(comparison: Comparison) -> str:
    parts = [
        f"# {escape(comparison.b.name)} against {escape(comparison.a.name)}",
        *(f"**{escape(part)}**" for part in list_warnings(comparison)),
        *(escape(line) for line in summarize(comparison)),
        *map(write_markdown, comparison_tables(comparison)),
        CAPTION,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def list_warnings(comparison: Comparison) -> list[str]:
    """Returns a warning if machines or settings differ."""
    unlike = ", ".join(comparison.unlike)
    return [f"CAUTION: A and B differ in {unlike}. The ratios do not measure the code alone."] if unlike else []


def summarize(comparison: Comparison) -> list[str]:
    sides = (("A", comparison.a), ("B", comparison.b))
    verdicts = ", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in ("slower", "faster", "tie", "ambiguous"))
    cases, mean = count_noun(len(comparison.compared), "case"), comparison.geomean
    speed = f"B is {format_factor(mean)} as fast as A (geometric mean of {cases})." if mean else "No case has a time in both runs."
    silent = sum(not pair.speed and not pair.changed for pair in comparison.pairs)
    _, shared = select_columns(comparison)
    same = f"; {silent} without a time in either run, with the same status" if silent else ""
    return [
        *(f"{name}: {side.name}, commit {side.commit}, {count_noun(len(side.runs), 'run')}" for name, side in sides),
        *(["A and B are the same records: there is nothing to compare."] if comparison.a.runs == comparison.b.runs else []),
        f"{cases} compared: {verdicts}. {speed}",
        f"{count_noun(len(comparison.changed), 'case')} not compared{same}. {describe_margin(comparison.margin)}",
        f"All cases: {shared}." if shared else "",
    ]


def select_columns(comparison: Comparison) -> tuple[list[tuple[Column, Callable[[Case], Any]]], str]:
    """Returns the columns in which cases differ, and a text of what all cases share."""
    shared = {column.name: {str(entry(p.case)) for p in comparison.pairs if p.speed or p.changed} for column, entry in PLACES[2:]}
    kept = [(column, entry) for column, entry in PLACES if len(shared.get(column.name, ())) != 1]
    return kept, ", ".join(f"{name} {values.pop()}" for name, values in shared.items() if len(values) == 1)


def comparison_tables(comparison: Comparison) -> Iterator[Table]:
    """Yields a table for each verdict, and one for cases without a verdict."""
    kept, _ = select_columns(comparison)
    names = [column for column, _ in kept]
    for verdict, title in TITLES.items():
        if found := [(pair, speed) for pair, speed in comparison.compared if speed.verdict == verdict]:
            rows = [[*(of(pair.case) for _, of in kept), find_time(pair.a), find_time(pair.b), speed] for pair, speed in found]
            yield Table(f"{title}: {count_noun(len(rows), 'case')}", [*names, *SPEEDS], rows)
    if comparison.changed:
        pairs = comparison.changed
        rows = [[*(of(p.case) for _, of in kept), describe_status(p.a), describe_status(p.b), p.why] for p in pairs]
        yield Table(f"Not compared: {count_noun(len(rows), 'case')}", [*names, *CHANGES], rows)


def find_time(record: CaseRecord | None) -> Estimate | None:
    """Returns the median time of a record, or None."""
    return median_time(record) if record and is_timed(record) else None


def describe_status(record: CaseRecord | None) -> str:
    """Returns the status of a record with its reason."""
    if record is None:
        return NONE
    return f"{record.status}: {record.reason}" if record.reason else record.status


def build_document(comparison: Comparison) -> dict[str, Any]:
    def describe(side: RunSet) -> dict[str, Any]:
        return {"name": side.name, "commit": side.commit, "runs": len(side.runs), "margin": side.margin}

    return {
        "a": describe(comparison.a), "b": describe(comparison.b), "unlike": comparison.unlike, "margin": comparison.margin,
        "geomean": comparison.geomean, "compared": len(comparison.compared), "cases": [make_pair_row(pair) for pair in comparison.pairs],
    }  # fmt: skip


def make_pair_row(pair: Pair) -> dict[str, Any]:
    """Returns a pair as plain data: times in seconds, and the speed of B relative to A."""
    return {
        **pair.case.model_dump(exclude={"aa_repeat"}),
        **{f"a_{name}": value for name, value in list_side_fields(pair.a).items()},
        **{f"b_{name}": value for name, value in list_side_fields(pair.b).items()},
        **list_speed_fields(pair.speed),
        "why": pair.why,
    }


def list_side_fields(record: CaseRecord | None) -> dict[str, Any]:
    if record is None:
        return {"status": "absent", "reason": "", "median": None, "samples": 0}
    median = median_time(record).value if is_timed(record) else None
    return {"status": record.status, "reason": record.reason, "median": median, "samples": len(record.samples)}

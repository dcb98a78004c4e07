"""Renders the comparison of two runs for a terminal and in the formats of `bench.render.output_format`."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from rich.console import RenderableType
from rich.text import Text

from bench.analysis.comparison import IN_BOTH, Comparison, Pair, RunSet, View
from bench.analysis.completeness import describe_unfinished
from bench.analysis.median_ci import Estimate
from bench.analysis.summary import is_timed, median_time
from bench.analysis.verdict import Verdict
from bench.records import Case, CaseRecord
from bench.render.case_rows import list_speed_fields
from bench.render.export import write_format
from bench.render.formatting import NONE, count_noun, format_factor, format_interval, format_ms, format_speed_interval, label_cell
from bench.render.header import describe_margin
from bench.render.markdown import escape
from bench.render.method import VERDICTS
from bench.render.output_format import OutputFormat
from bench.render.table import BACKEND, CELL, SIZES, Column, Table, make_word_column, print_table, write_markdown
from bench.render.warnings import list_comparison_warnings

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


RELATIVE = (
    "A speed is that relative to torch.nn's: A's time, divided by torch.nn's in the same round, divided by B's. "
    "Cases that torch.nn lacks, and torch.nn's own, are left out."
)


def write_comparison(comparison: Comparison, output_format: OutputFormat, view: View = IN_BOTH) -> None:
    """Writes a comparison to stdout.

    Args:
        comparison: The comparison.
        output_format: The format; "" prints tables.
        view: The pairs that are listed.
    """
    tables = list(comparison_tables(comparison, view))
    write_format(
        output_format, lambda: build_document(comparison, view), lambda: list_pair_rows(comparison, view),
        lambda: render_comparison(comparison, tables, view), lambda: tables, lambda: list_blocks(comparison, tables, view),
    )  # fmt: skip


def list_blocks(comparison: Comparison, tables: Sequence[Table], view: View) -> Iterator[RenderableType]:
    """Yields the parts of a comparison for a terminal."""
    yield from (Text(part, style="bold red") for part in list_comparison_warnings(comparison))
    yield from map(Text, summarize(comparison, view))
    yield from map(print_table, tables)
    yield Text(CAPTION, style="dim")


def render_comparison(comparison: Comparison, tables: Sequence[Table], view: View) -> str:
    parts = [
        f"# {escape(comparison.b.name)} against {escape(comparison.a.name)}",
        *(f"**{escape(part)}**" for part in list_comparison_warnings(comparison)),
        *(escape(line) for line in summarize(comparison, view)),
        *map(write_markdown, tables),
        CAPTION,
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def describe_end(side: RunSet) -> str:
    """Returns which runs of a side are unfinished, after a comma."""
    return "".join(f", {found}" for run in side.runs if (found := describe_unfinished(run)))


def summarize(comparison: Comparison, view: View) -> list[str]:
    sides = (("A", comparison.a), ("B", comparison.b))
    verdicts = ", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in ("slower", "faster", "tie", "ambiguous"))
    cases, mean = count_noun(len(comparison.compared), "case"), comparison.geomean
    known = f"{format_factor(mean.value)}{format_interval(mean)}" if mean else ""
    speed = f"B is {known} as fast as A (geometric mean of {cases})." if mean else "No case has a time in both runs."
    kinds = ((pair.speed, pair.changed, pair.is_unrelated) for pair in comparison.pairs if pair.a and pair.b)
    silent = sum(not any(kind) for kind in kinds)
    _, shared = select_columns(comparison, view)
    same = f"; {silent} without a time in either run, with the same status" if silent else ""
    return [
        *(f"{name}: {side.name}, commit {side.commit}, {count_noun(len(side.runs), 'run')}{describe_end(side)}" for name, side in sides),
        *(["A and B are the same records: there is nothing to compare."] if comparison.a.runs == comparison.b.runs else []),
        f"{cases} compared: {verdicts}. {speed}",
        f"{count_noun(len(comparison.changed), 'case')} in both not compared{same}. {describe_margin(comparison.margin)}",
        RELATIVE if comparison.relative else "",
        count_one_sided(comparison),
        f"All cases: {shared}." if shared else "",
    ]


def count_one_sided(comparison: Comparison) -> str:
    """Returns how many cases only one of the runs has; "" for none."""
    counts = [(sum(pair.why == f"only in {side}" for pair in comparison.one_sided), side) for side in ("A", "B")]
    found = ", ".join(f"{count_noun(count, 'case')} only in {side}" for count, side in counts if count)
    return f"{found}: --all lists them." if found else ""


def select_columns(comparison: Comparison, view: View) -> tuple[list[tuple[Column, Callable[[Case], Any]]], str]:
    """Returns the columns in which cases differ, and a text of what all cases share."""
    listed = [pair for pair in comparison.pairs if pair.speed or view.lists(pair)]
    shared = {column.name: {str(entry(pair.case)) for pair in listed} for column, entry in PLACES[2:]}
    kept = [(column, entry) for column, entry in PLACES if len(shared.get(column.name, ())) != 1]
    return kept, ", ".join(f"{name} {values.pop()}" for name, values in shared.items() if len(values) == 1)


def comparison_tables(comparison: Comparison, view: View) -> Iterator[Table]:
    """Yields a table for each verdict, and one for cases without a verdict."""
    kept, _ = select_columns(comparison, view)
    names = [column for column, _ in kept]
    for verdict, title in TITLES.items():
        if found := [(pair, speed) for pair, speed in comparison.compared if speed.verdict == verdict and view.lists(pair)]:
            rows = [[*(of(pair.case) for _, of in kept), find_time(pair.a), find_time(pair.b), speed] for pair, speed in found]
            yield Table(f"{title}: {count_noun(len(rows), 'case')}", [*names, *SPEEDS], rows)
    if pairs := [pair for pair in (*comparison.changed, *comparison.one_sided) if view.lists(pair)]:
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


def list_pair_rows(comparison: Comparison, view: View) -> list[dict[str, Any]]:
    return [make_pair_row(pair) for pair in comparison.pairs if view.lists(pair)]


def build_document(comparison: Comparison, view: View) -> dict[str, Any]:
    def describe(side: RunSet) -> dict[str, Any]:
        return {"name": side.name, "commit": side.commit, "runs": len(side.runs), "margin": side.margin}

    mean = comparison.geomean
    return {
        "a": describe(comparison.a), "b": describe(comparison.b), "unlike": comparison.unlike, "margin": comparison.margin,
        "geomean": mean and mean.value, "compared": len(comparison.compared), "only_in_one": len(comparison.one_sided),
        "relative_to_vendor": comparison.relative,
        "cases": list_pair_rows(comparison, view),
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

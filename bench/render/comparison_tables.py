"""Two runs side by side, for a terminal and in the forms of `bench.render.output_format`."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from rich.text import Text

from bench.analysis.comparison import Comparison, Pair
from bench.analysis.summary import seconds, timed
from bench.analysis.verdict import Verdict
from bench.records import Case, CaseRecord
from bench.render.case_rows import spelled, to_csv
from bench.render.console import columns, titled
from bench.render.export import put, to_json
from bench.render.formatting import NONE, VERDICTS, factor, interval, milliseconds, plural
from bench.render.header import margin
from bench.render.markdown import table, text
from bench.render.output_format import OutputFormat
from bench.render.terminal import terminal

PLACES: tuple[tuple[str, Callable[[Case], str]], ...] = (
    ("cell", lambda case: f"{case.cell} for {case.matched_params_of}" if case.matched_params_of else case.cell),
    ("backend", lambda case: case.backend),
    ("task", lambda case: case.mode if case.input_product else f"{case.mode}, given"),
    *((letter, partial(lambda letter, case: str(getattr(case, letter)), letter)) for letter in ("T", "B", "D", "H")),
    ("dtype", lambda case: case.dtype),
    ("precision", lambda case: case.precision),
)
TITLES: dict[Verdict, str] = {"slower": "Slower", "faster": "Faster", "ambiguous": "Can't be told", "tie": "Ties"}
SPEEDS = ("A, ms", "B, ms", "B's speed")
CHANGES = ("A", "B", "why")
CAPTION = (
    f"Medians, and how many times as fast as A B is; {VERDICTS}. The calls were not taken by turns: whatever changed between the "
    "runs, code or not, is in the ratio. Given: without the input product."
)


def show(comparison: Comparison, output_format: OutputFormat) -> None:
    """To stdout."""
    if output_format == "json":
        put(to_json(document(comparison)))
    elif output_format == "csv":
        put(to_csv([flat(pair) for pair in comparison.pairs]))
    elif output_format == "md":
        put(markdown(comparison))
    else:
        show_tables(comparison)


def show_tables(comparison: Comparison) -> None:
    out = terminal()
    for part in warning(comparison):
        out.print(Text(part, style="bold red"))
    for line in summary(comparison):
        out.print(Text(line))
    for title, headers, rows in sections(comparison):
        made = columns(*headers, left=("cell", "backend", "task", "dtype", "precision", *CHANGES))
        for row in rows:
            made.add_row(*row)
        for column in (*made.columns[:2], made.columns[-1]):
            column.no_wrap = column.header != "why"
        out.print(titled(title, made, ""))
    out.print(Text(CAPTION, style="dim"))


def markdown(comparison: Comparison) -> str:
    parts = [
        f"# {text(comparison.b.name)} against {text(comparison.a.name)}",
        *(f"**{text(part)}**" for part in warning(comparison)),
        *(text(line) for line in summary(comparison)),
        *(part for title, headers, rows in sections(comparison) for part in (f"## {title}", table(headers, rows, left=3))),
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
        f"{name}: {side.name}, commit {side.commit}, {plural(len(side.runs), 'run')}"
        for name, side in (("A", comparison.a), ("B", comparison.b))
    ]
    verdicts = ", ".join(f"{comparison.count(verdict)} {verdict}" for verdict in ("slower", "faster", "tie", "ambiguous"))
    mean = comparison.geomean
    speed = (
        f"B is {factor(mean)} as fast as A (geometric mean of {plural(len(comparison.compared), 'case')})."
        if mean
        else "Nothing has a time in both."
    )
    silent = sum(not pair.speed and not pair.changed for pair in comparison.pairs)
    _, shared = places(comparison)
    same = f"; {silent} without a time in either, alike in status" if silent else ""
    return [
        *runs,
        *(["A and B are the same records: there is nothing to tell apart."] if comparison.a.runs == comparison.b.runs else []),
        f"{plural(len(comparison.compared), 'case')} compared: {verdicts}. {speed}",
        f"{plural(len(comparison.changed), 'case')} not compared{same}; {margin(comparison.margin)}",
        f"All cases: {shared}." if shared else "",
    ]


def places(comparison: Comparison) -> tuple[list[tuple[str, Callable[[Case], str]]], str]:
    """The columns that tell one case from another, and in words what all of them share."""
    shared = {name: {entry(pair.case) for pair in comparison.pairs if pair.speed or pair.changed} for name, entry in PLACES[2:]}
    kept = [(name, entry) for name, entry in PLACES if len(shared.get(name, ())) != 1]
    return kept, ", ".join(f"{name} {values.pop()}" for name, values in shared.items() if len(values) == 1)


def sections(comparison: Comparison) -> Iterator[tuple[str, list[str], list[list[str]]]]:
    """A title, headers and rows for each verdict, and for what has none."""
    kept, _ = places(comparison)
    names = [name for name, _ in kept]
    for verdict, title in TITLES.items():
        if found := [(pair, speed) for pair, speed in comparison.compared if speed.verdict == verdict]:
            rows = [[*(of(pair.case) for _, of in kept), time(pair.a), time(pair.b), interval(speed)] for pair, speed in found]
            yield f"{title}: {plural(len(rows), 'case')}", [*names, *SPEEDS], rows
    if comparison.changed:
        rows = [[*(of(pair.case) for _, of in kept), status(pair.a), status(pair.b), pair.why] for pair in comparison.changed]
        yield f"Not compared: {plural(len(rows), 'case')}", [*names, *CHANGES], rows


def time(record: CaseRecord | None) -> str:
    return milliseconds(seconds(record).value) if record and timed(record) else NONE


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
        **spelled(pair.speed),
        "why": pair.why,
    }


def side(record: CaseRecord | None) -> dict[str, Any]:
    known = record is not None and timed(record)
    return {
        "status": record.status if record else "absent",
        "reason": record.reason if record else "",
        "median": seconds(record).value if record and known else None,
        "samples": len(record.samples) if record else 0,
    }

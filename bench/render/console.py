"""Renders a run as tables for a terminal, which wraps them to its width."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from bench.analysis.completeness import describe_unfinished
from bench.records import FAILURES, Records
from bench.render import (
    chaos_report,
    gradient_report,
    jacobian_report,
    parallel_report,
    scaling_report,
    speed_tables,
    theory_report,
    training_report,
)
from bench.render.against_table import make_against_table
from bench.render.case_grid import build_grids
from bench.render.formatting import count_noun, describe_task
from bench.render.header import list_contents, list_remarks
from bench.render.method import define_terms
from bench.render.peers_table import make_peers_table
from bench.render.table import Table, print_table, write_markdown
from bench.render.tables import make_failure_table, make_memory_table, make_parameter_table
from bench.render.wave_report import make_tables


def list_renderables(records: Records) -> list[RenderableType]:
    """Lists the parts of a run for a terminal: a header, the tables that fit a terminal, and the terms in them."""
    return [make_header(records), *render_tables(list(list_tables(records)))]


def render_tables(tables: Sequence[Table]) -> list[RenderableType]:
    """Returns tables for a terminal, without those that a report folds, and the definitions of the terms that occur in them."""
    shown = [table for table in tables if table.level and table.rows]
    terms = define_terms("\n\n".join(write_markdown(table, brief=True) for table in shown))
    return [*map(print_table, shown), *([Group("", Text(" ".join(terms), style="dim"))] if terms else [])]


def list_tables(records: Records) -> Iterator[Table]:
    """Yields the tables of a run. Tables that need only one T show the longest; the lower bounds are those of the first task."""
    laid, here = build_grids(records.cases), records.run.environment
    yield make_failure_table(records.cases)
    yield from map(speed_tables.make_times_table, laid)
    yield from (replace_title(make_peers_table(grid), describe_task(grid.common).lower()) for grid in laid)
    for grid in laid:
        yield replace_title(make_against_table(grid, records.run.settings.get("against", "")), describe_task(grid.common).lower())
    for grid in laid:
        yield replace_title(speed_tables.make_gru_table(grid, grid.longest_rows), describe_task(grid.common).lower())
    bounds = ((grid, speed_tables.make_bound_table(grid, here)) for grid in laid)
    yield from [replace_title(table, describe_task(grid.common).lower()) for grid, table in bounds if table.rows][:1]
    yield from make_tables(records.cases)
    for grid in laid:
        if grid.common.mode == "training" and grid.common.input_product:
            yield make_memory_table(grid, grid.longest_rows)
    yield make_parameter_table(records.cases)
    yield from gradient_report.make_tables(records.gradients)
    yield from jacobian_report.make_tables(records.jacobians)
    yield from theory_report.make_tables(records.theory)
    yield from chaos_report.make_tables(records.maps, records.decays)
    yield from parallel_report.make_tables(records.parallel)
    yield from training_report.make_result_tables(records)
    yield from scaling_report.make_tables(records.scale)


def replace_title(table: Table, task: str) -> Table:
    """Returns a table whose title also names the task."""
    return replace(table, title=f"{table.title}: {task}")


def draw_screenshot(records: Records) -> str:
    """Returns the header and the first table as SVG, as in a terminal. The fonts that rich would load from the web are removed."""
    canvas = Console(record=True, width=88, file=StringIO(), force_terminal=True, color_system="truecolor")
    canvas.print(make_header(records))
    for grid in build_grids(records.cases)[:1]:
        canvas.print(print_table(speed_tables.make_times_table(grid)))
    drawn = canvas.export_svg(title="python -m bench all", unique_id="bench")
    return re.sub(r"@font-face\s*\{[^}]*\}", "", drawn)


def make_header(records: Records) -> Text:
    here = records.run.environment
    failed = any(record.status in FAILURES for record in records.cases)
    text = Text(f"{here.device}, {count_noun(here.threads, 'thread')}, torch {here.torch}\n")
    if unfinished := describe_unfinished(records):
        text.append(f"{unfinished}\n", style="bold red")
    text.append(list_contents(records), style="bold red" if failed else "bold")
    return text.append("".join(f"\n{remark}" for remark in list_remarks(records)))

"""A run as tables for a terminal, which wraps them to its own width."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from io import StringIO

from rich.console import Console, Group, RenderableType
from rich.text import Text

from bench.records import FAILURES, Records
from bench.render import chaos_report, gradient_report, jacobian_report, scaling_report, speed_tables, theory_report, training_report
from bench.render.case_grid import build_grids
from bench.render.formatting import describe_task
from bench.render.header import list_contents, list_remarks
from bench.render.method import define_terms
from bench.render.table import Table, print_table, write_markdown
from bench.render.tables import failure_table, memory_table, parameter_table
from bench.render.terminal import terminal
from bench.render.wave_report import wave_tables


def list_renderables(records: Records) -> list[RenderableType]:
    """List what ran and what failed, then the tables of a report that fit a terminal, and the terms in them."""
    return [head(records), *render_tables(list(list_tables(records)))]


def render_tables(tables: Sequence[Table]) -> list[RenderableType]:
    """Tables for a terminal, less what a report folds, and the terms that occur in them."""
    shown = [table for table in tables if table.level and table.rows]
    terms = define_terms("\n\n".join(map(write_markdown, shown)))
    return [*map(print_table, shown), *([Group("", Text(" ".join(terms), style="dim"))] if terms else [])]


def print_tables(tables: Sequence[Table]) -> None:
    """Print tables to stdout."""
    for found in render_tables(tables):
        terminal().print(found)


def list_tables(records: Records) -> Iterator[Table]:
    """The tables of a report, at the longest T where that is enough; of the lower bounds those of the first task alone."""
    laid, here = build_grids(records.cases), records.run.environment
    yield failure_table(records.cases)
    yield from map(speed_tables.times_table, laid)
    for grid in laid:
        yield replace_title(speed_tables.gru_table(grid, grid.longest_rows), describe_task(grid.common).lower())
    bounds = ((grid, speed_tables.lower_bound_table(grid, here)) for grid in laid)
    yield from [replace_title(table, describe_task(grid.common).lower()) for grid, table in bounds if table.rows][:1]
    yield from wave_tables(records.cases)
    for grid in laid:
        if grid.common.mode == "training" and grid.common.input_product:
            yield memory_table(grid, grid.longest_rows)
    yield parameter_table(records.cases)
    yield from list_study_tables(records)
    yield from training_report.result_tables(records)
    yield from scaling_report.scaling_tables(records.scale)


def list_study_tables(records: Records) -> Iterator[Table]:
    """List the tables of the studies of signals."""
    yield from gradient_report.gradient_tables(records.gradients)
    yield from jacobian_report.jacobian_tables(records.jacobians)
    yield from theory_report.theory_tables(records.theory)
    yield from chaos_report.chaos_tables(records.maps, records.decays)


def replace_title(table: Table, task: str) -> Table:
    """The table under a title that says its task, where there is no section to say it."""
    return replace(table, title=f"{table.title}: {task}")


def draw_screenshot(records: Records) -> str:
    """The head and the first table as SVG, as a terminal shows them, without the fonts that rich would fetch from elsewhere."""
    canvas = Console(record=True, width=88, file=StringIO(), force_terminal=True, color_system="truecolor")
    canvas.print(head(records))
    for grid in build_grids(records.cases)[:1]:
        canvas.print(print_table(speed_tables.times_table(grid)))
    drawn = canvas.export_svg(title="python -m bench all", unique_id="bench")
    return re.sub(r"@font-face\s*\{[^}]*\}", "", drawn)


def head(records: Records) -> Text:
    here = records.run.environment
    failed = any(record.status in FAILURES for record in records.cases)
    text = Text(f"{here.device}, {here.threads} threads, torch {here.torch}\n")
    text.append(list_contents(records), style="bold red" if failed else "bold")
    return text.append("".join(f"\n{remark}" for remark in list_remarks(records)))

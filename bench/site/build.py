"""Builds the site: its pages and their content."""

import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

from markupsafe import Markup

from bench.analysis.comparison import RunSet, compare
from bench.analysis.history import Timeline, build_timelines
from bench.records import find_records
from bench.records.records_file import compress_records
from bench.render import csv_tables, history_plot, length_plots, run_report, svg
from bench.render.comparison_tables import RELATIVE
from bench.render.formatting import NONE, format_factor, format_interval
from bench.render.markdown import fold
from bench.render.plot_placement import HEADS, PLACES
from bench.render.published import Published, tabulate_ratios
from bench.render.table import Table, write_html
from bench.site import handbook
from bench.site.equations import Source, render_equations
from bench.site.page_tables import Entry, compare_cases, count_verdicts, list_histories, list_like_for_like, list_regressions, list_speeds
from bench.site.pictures import make_figure
from bench.site.report_page import read_report
from bench.site.site_folder import Site, empty_folder

ASSETS = Path(__file__).parent / "assets"
ORDER = [*HEADS, *PLACES]
ROOT = Path(__file__).parents[2]
Tell = Callable[[str], None]


def build_site(runs: Sequence[Published], cells: Sequence[Source], derived: Mapping[str, str], out: Path, tell: Tell) -> list[Path]:
    """Writes the site into a folder, which is emptied first.

    Args:
        runs: The runs, the newest first.
        cells: The cells.
        derived: The derived source of each cell, if known.
        out: The folder.
        tell: Called with the name of each run.

    Returns:
        The paths of the pages.
    """
    empty_folder(out)
    site = Site(out)
    shutil.copytree(ASSETS, out / "assets")
    (out / "assets" / "plot.css").write_text(svg.make_stylesheet(svg.list_classes(), ".plot"), encoding="utf-8")
    names = [cell.name for cell in cells]
    for run in runs:
        tell(run.name)
        write_run_page(site, run)
    pairs = [pair for newer, older in combinations(runs, 2) if (pair := write_pair_page(site, older, newer))]
    site.write_page("compare/index.html", "compare.html", "Compare two runs", pairs=pairs, runs=runs)
    lines = build_timelines([(run.name, run.records) for run in runs])
    write_history_page(site, lines)
    for cell in cells:
        write_cell_page(site, cell, runs, derived.get(cell.name, ""))
    site.write_page("cells/index.html", "cells.html", "Cells", cells=cells, formulas={cell.name: cell.formula for cell in cells})
    write_front_page(site, runs, lines, names)
    handbook.write_handbook(site, ROOT)
    return site.pages


def write_front_page(site: Site, runs: Sequence[Published], lines: Sequence[Timeline], cells: Sequence[str]) -> None:
    newest = next((run for run in runs if run.kind == "speed"), None)
    columns, ratios = tabulate_ratios(runs)
    rows = list(zip(runs, ratios, strict=True))
    drawn = newest.folder / "speeds.svg" if newest else None
    site.write_page(
        "index.html", "index.html", "Recurrent cells, fused from their equations, measured", newest=newest, rows=rows, columns=columns,
        likes=list_like_for_like(runs),
        picture=make_figure(drawn) if drawn and drawn.is_file() else Markup(""),
        gpu=any(r.records.run.environment.device_kind != "cpu" for r in runs),
        regressions=list_regressions(lines), cells=cells,
    )  # fmt: skip


def write_run_page(site: Site, run: Published) -> None:
    """Writes the page of a run. Its plots, tables and records are in a folder of the same name beside it."""
    beside = site.out / "runs" / run.name
    beside.mkdir(parents=True)
    for path in run.folder.iterdir():
        if path.suffix == ".svg" and path.name != "table.svg":
            shutil.copy(path, beside / path.name)
    if records := find_records(run.folder):
        shutil.copy(records, beside / records.name)
        compress_records(beside)
    pictures = {path.stem: make_figure(path) for path in sort_pictures(beside.glob("*.svg"))}
    parts = run_report.list_parts(run.records)
    names = {id(table): name for name, table in csv_tables.name_tables(parts)}
    csv_tables.write_sheets(beside, parts, run.records)

    def html(table: Table) -> str:
        name = names[id(table)]
        made = write_html(table, name, f"{run.name}/tables/{name}.csv")
        return made if table.level else fold(table.title, made)

    made = read_report(
        run_report.join_parts(parts, [f"{name}.svg" for name in pictures], html), pictures, run.name, folded=run.kind == "speed"
    )
    site.write_page(f"runs/{run.name}.html", "run.html", f"{made.title}, {run.day}", run=run, article=made)


def write_pair_page(site: Site, older: Published, newer: Published) -> Entry | None:
    """Writes the page that compares two runs; returns None if they have no case in common."""
    a, b = RunSet(older.name, (older.records,)), RunSet(newer.name, (newer.records,))
    if not any(case in b.cases for case in a.cases):
        return None
    found = compare(a, b)
    address = f"compare/{older.name}--{newer.name}.html"
    headers, rows = compare_cases(found)
    mean = f"{format_factor(found.geomean.value)}{format_interval(found.geomean)}" if found.geomean else NONE
    site.write_page(
        address, "pair.html", f"{newer.name} against {older.name}", a=older, b=newer, found=found, headers=headers, rows=rows,
        relative=RELATIVE * found.relative, alone=len(found.one_sided), verdicts=count_verdicts(found), mean=mean,
    )  # fmt: skip
    return Entry(older.name, newer.name, address.removeprefix("compare/"), count_verdicts(found), found.unlike)


def write_history_page(site: Site, lines: Sequence[Timeline]) -> None:
    shown = []
    for k, line in enumerate(lines):
        drawn = history_plot.draw(line, site.out / "assets" / "pictures" / f"history{k + 1}.svg")
        shown.append((line, join_figures(drawn), list_histories(line)))
    site.write_page("history.html", "history.html", "History", lines=shown, regressions=list_regressions(lines), floor=format_floor)


def join_figures(drawn: Sequence[Path]) -> Markup:
    return Markup("").join(map(make_figure, drawn))


def sort_pictures(paths: Iterable[Path]) -> list[Path]:
    """Returns plots in the order of a report."""
    return sorted(paths, key=lambda path: (ORDER.index(path.stem) if path.stem in ORDER else len(ORDER), path.stem))


def format_floor(line: Timeline) -> str:
    return f"{max(line.floors.values()):.0%}" if line.floors else "not known"


def write_cell_page(site: Site, cell: Source, runs: Sequence[Published], derived: str) -> None:
    speeds = []
    for run in runs:
        for grid in run.grids:
            if cell.name in grid.cells and grid.common.input_product:
                speeds += list_speeds(grid, cell.name, run)
    days = [(run.day, grid) for run in runs for grid in run.grids]
    drawn = length_plots.draw_cell(cell.name, days, site.out / "assets" / "pictures" / f"{cell.name}.svg")
    site.write_page(
        f"cells/{cell.name}.html", "cell.html", cell.name, cell=cell, equations=render_equations(cell.step), derived=derived, speeds=speeds,
        curves=join_figures(drawn),
    )  # fmt: skip

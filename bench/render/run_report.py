"""Renders a run as report.md with its plots."""

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.analysis.summary import is_timed
from bench.analysis.verdict import measure_noise
from bench.records import Case, CaseRecord, Environment, Records
from bench.records.methods import EARLIER
from bench.render import (
    chaos_report,
    csv_tables,
    gradient_report,
    jacobian_report,
    length_plots,
    parallel_report,
    scaling_report,
    speed_plot,
    speed_tables,
    tables,
    theory_report,
    training_plots,
    training_report,
    wave_report,
)
from bench.render.against_table import make_against_table
from bench.render.all_cases import make_case_table
from bench.render.case_grid import Grid, build_grids
from bench.render.console import draw_screenshot
from bench.render.formatting import count_noun
from bench.render.header import count_statuses, list_remarks
from bench.render.headline import write_headline
from bench.render.latency_table import make_latency_table
from bench.render.markdown import escape, fence
from bench.render.mean_speeds import compute_mean_speeds, describe_mean
from bench.render.method import define_terms, describe_analysis
from bench.render.numerics_table import make_numerics_table, make_repeat_table
from bench.render.peers_table import make_peers_table
from bench.render.plot_placement import place_plots
from bench.render.table import Table, make_heading, write_table
from bench.render.warnings import list_warnings

Part = Table | str
"""A table, or words as markdown."""
ANALYSES = {
    "gradients": gradient_report.ANALYSIS, "jacobians": jacobian_report.ANALYSIS, "theory": theory_report.ANALYSIS,
    "decays": chaos_report.ANALYSIS, "parallel": parallel_report.ANALYSIS,
    "training": training_report.ANALYSIS, "scale": scaling_report.ANALYSIS,
}  # fmt: skip
"""Descriptions of how the numbers of each kind of records are computed; how they were measured is in the records."""


def write_report(folder: Path, records: Records) -> list[Path]:
    """Writes a report into an existing folder: report.md, its plots, its tables as CSV, and a picture of its first table.

    Returns:
        The paths of report.md and of the plots.
    """
    drawn = draw_plots(folder, records)
    return [write_page(folder, records, drawn), *drawn]


def draw_plots(folder: Path, records: Records) -> list[Path]:
    """Draws the plots of a run and returns their paths."""
    if is_training_run(records):
        return training_plots.draw(records, folder)
    shown = [record for record in records.jacobians if not records.cases or record.init == "default"]  # a preview has a panel per cell
    studies = (
        (gradient_report, records.gradients),
        (jacobian_report, shown),
        (theory_report, records.theory),
        (parallel_report, records.parallel),
    )
    drawn = [*speed_plot.draw(records, folder), *length_plots.draw(records, folder)]
    drawn += [path for module, found in studies for path in module.draw(found, folder)]
    return [*drawn, *chaos_report.draw(records.maps, records.decays, folder), *scaling_report.draw(records.scale, folder)]


def write_page(folder: Path, records: Records, drawn: Sequence[Path]) -> Path:
    """Writes report.md, its tables as CSV, and the picture of the first table. It runs after the plots, so that the wall time includes
    them."""
    if records.cases:
        (folder / "table.svg").write_text(draw_screenshot(records), encoding="utf-8")
    path, parts = folder / "report.md", list_parts(records)
    path.write_text(join_parts(parts, [plot.name for plot in drawn]), encoding="utf-8")
    csv_tables.write_sheets(folder, parts, records)
    return path


def render_report(records: Records, plots: Sequence[str] = ()) -> str:
    """Returns a run as markdown. `plots` are the addresses of its plots relative to the report."""
    return join_parts(list_parts(records), plots)


def join_parts(parts: Sequence[Part], plots: Sequence[str], write: Callable[[Table], str] = write_table) -> str:
    """Returns the parts of a report as markdown.

    Args:
        parts: Tables and text.
        plots: The addresses of the plots.
        write: Renders a table.
    """
    blocks: list[str] = []
    for part in parts:
        blocks += [part] if isinstance(part, str) else [make_heading(part), part.caption, write(part)] if part.level else [write(part)]
    head = next(k for k, part in enumerate(parts) if isinstance(part, str) and part.startswith("Measured on"))
    claims = [part for part in blocks[:head] if part]
    return "\n\n".join(place_plots([block for block in blocks if block], plots, head=min(2, len(claims)))) + "\n"


def is_training_run(records: Records) -> bool:
    """Returns whether a run has only trainings."""
    return bool(records.training) and not records.cases


def list_parts(records: Records) -> list[Part]:
    """Returns all parts of a report in order."""
    here, laid = records.run.environment, build_grids(records.cases)
    trained = is_training_run(records)
    studied = any((records.jacobians, records.theory, records.maps, records.decays, records.gradients, records.parallel, records.scale))
    timing = bool(records.cases) or not (studied or trained)
    topics = ", ".join(dict.fromkeys(record.trial.task for record in records.training))
    parts: list[Part] = [
        f"# Recurrent cells learn: {topics}" if trained else f"# Recurrent cells on {escape(here.device)}",
        write_headline(records, laid),
        f"{count_statuses(records.cases)}." if timing else "",
        describe_machine(here),
        *(list_warnings(records) if trained else list_remarks(records)),
        *(part for grid in laid for part in list_speed_parts(grid, records)),
        make_latency_table(records.cases),
        *wave_report.make_tables(records.cases),
        make_numerics_table(records.cases),
        make_repeat_table(measure_noise(records.cases)),
        tables.make_verified_table(records.cases),
        *(tables.make_memory_table(grid, grid.rows) for grid in laid if grid.common.mode == "training" and grid.common.input_product),
        tables.make_parameter_table(records.cases),
        *add_command("gradients", gradient_report.make_tables(records.gradients), timing),
        *add_command("jacobian", jacobian_report.make_tables(records.jacobians), timing),
        *add_command("theory", theory_report.make_tables(records.theory), timing),
        *add_command("chaos", chaos_report.make_tables(records.maps, records.decays), timing),
        *add_command("parallel", parallel_report.make_tables(records.parallel), timing),
        *training_report.make_tables(records),
        *scaling_report.make_tables(records.scale),
        tables.make_untimed_table(records.cases),
        tables.make_environment_table(here),
    ]
    kept = [part for part in parts if (part.rows or (part.level == 3 and part.caption) if isinstance(part, Table) else part)]
    return [*kept, *describe_terms(kept, records, timing), *describe_reproduction(records)]


def describe_terms(parts: Sequence[Part], records: Records, timing: bool) -> list[Part]:
    """Returns the section of terms and methods: how the run was measured, in the words of its record, and what is computed from that."""
    known = records.run.method or EARLIER
    kinds = [*(["cases"] if timing else []), *(["waves"] if wave_report.make_tables(records.cases) else [])]
    kinds += [kind for kind in known if kind not in ("cases", "waves") and getattr(records, kind, True)]
    methods = [known[kind] for kind in kinds if kind in known]
    analyses = [*([describe_analysis()] if timing else []), *(text for kind, text in ANALYSES.items() if getattr(records, kind))]
    return ["## Method and terms", "\n".join([*(f"- {term}" for term in define_terms(join_parts(parts, []))), *methods, *analyses])]


def describe_reproduction(records: Records) -> list[Part]:
    started = f"Started {escape(records.run.started)} (UTC), seed {records.run.seed}. This runs it again:"
    cases = ", tables/cases.csv the numbers of every case" if records.cases else ""
    drawn = f"In the folder of the report tables/ has each table as CSV{cases}. This draws and writes them all again from the records:"
    return ["## Reproduce this run", started, fence(records.run.command), drawn, fence("python -m bench report FOLDER")]


def add_command(verb: str, found: Sequence[Table], preview: bool) -> list[Part]:
    """Returns the tables of a study, followed by the command that runs it in full if this run only previewed it."""
    return [*found, f"In full: `python -m bench {verb}`."] if found and preview else list(found)


def describe_machine(here: Environment) -> str:
    threads = f"{count_noun(here.threads, 'thread')} on {count_noun(here.cores, 'core')}"
    where = f"Measured on {escape(here.device)}: {threads}, {escape(here.system)}, torch {escape(here.torch)}"
    if here.device_kind == "cpu":
        return f"{where}."
    cuda, cudnn, driver = (escape(version or "unknown") for version in (here.cuda, here.cudnn, here.driver))
    return f"{where}, CUDA {cuda}, cuDNN {cudnn}, driver {driver}."


def list_speed_parts(grid: Grid, records: Records) -> list[Part]:
    here, own = records.run.environment, list_grid_cases(grid, records.cases)
    shorter = [row for row in grid.rows if row not in grid.longest_rows]
    return [
        speed_tables.make_times_table(grid),
        make_peers_table(grid),
        make_against_table(grid, records.run.settings.get("against", "")),
        "\n".join(map(describe_mean, compute_mean_speeds(grid))),
        speed_tables.make_gru_table(grid, grid.longest_rows),
        speed_tables.make_gru_table(grid, shorter, "Against torch.nn's gru at the shorter T"),
        speed_tables.make_sgemm_table(grid, here),
        speed_tables.make_bound_table(grid, here),
        make_case_table(own, here),
    ]


def list_grid_cases(grid: Grid, cases: Sequence[CaseRecord]) -> list[CaseRecord]:
    """Returns the timed cases of a grid, and the GRUs that match the parameter count of one of its cells."""

    def place(case: Case) -> Case:
        size = {key: getattr(grid.common, key) for key in ("B", "D", "H")} if grid.has_several_sizes else {}
        H = grid.common.H if case.matched_params_of else case.H
        return case.model_copy(update={"cell": "", "T": 0, "backend": "", "matched_params_of": "", "H": H, **size})

    return [record for record in cases if is_timed(record) and place(record.case) == grid.common]

"""Writes reports/README.md, the index of published runs."""

from collections.abc import Sequence
from pathlib import Path

from bench.errors import UsageError
from bench.render.markdown import escape
from bench.render.published import Published, tabulate_ratios

ABOUT = """\
# Published runs

`python -m bench publish` writes this page from the records beside it, the newest run first. A ratio is the geometric mean of the speedups
over a run's cases including the input projection, of the backend with the most cases, with its 95% interval. A cell that torch.nn lacks is
compared with its GRU, of as many parameters and of equal hidden width H. The brackets name the backend, the number of cases and, before a
†, in how many of them torch.nn was host-bound: the CPU issued the work more slowly than the GPU executed it."""


def write_index(reports: Path, runs: Sequence[Published]) -> Path:
    """Writes the index and returns its path.

    Raises:
        UsageError: Another README.md is in its place.
    """
    path = reports / "README.md"
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(ABOUT.partition("\n")[0]):
        raise UsageError(f"{path} is no index of runs: name the folder of the runs with --reports, or move that file away")
    path.write_text(render_index(runs), encoding="utf-8")
    return path


def render_index(runs: Sequence[Published]) -> str:
    """Returns the index as markdown: for each run its folder, date, machine, headline and mean speedups."""
    against, ratios = tabulate_ratios(runs)
    headers = ["run", "measured", "on", "headline", *against]
    rows = [[*list_index_cells(run), *found] for run, found in zip(runs, ratios, strict=True)]
    lines = ["| " + " | ".join(row) + " |" for row in (headers, [":--"] * len(headers), *rows)]
    return "\n".join([ABOUT, "", *(lines if runs else ["No run is published yet."])]) + "\n"


def list_index_cells(run: Published) -> list[str]:
    measured, torch = f"{run.day}, commit {escape(run.commit)}", run.records.run.environment.torch
    return [f"[{escape(run.name)}]({run.name}/report.md)", measured, f"{escape(run.machine)}, torch {escape(torch)}", run.headline]

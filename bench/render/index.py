"""reports/README.md: the published runs, a row for each."""

from collections.abc import Sequence
from pathlib import Path

from bench.errors import UsageError
from bench.render.formatting import MODES, NONE
from bench.render.markdown import escape
from bench.render.published import Published, format_mean_speed, shared_modes

ABOUT = """\
# Published runs

`python -m bench publish` writes this page from the records beside it; the newest run comes first. A ratio is the geometric mean of speeds
over a run's cases including the input projection, of the backend with the most of them: against torch.nn's own cell, and of cells that
torch.nn doesn't have against its GRU at equal hidden width. In brackets: which backend, over how many cases, and in how many of
them (†) torch.nn was host-bound: the host issued its work more slowly than the GPU did it."""


def write_index(reports: Path, runs: Sequence[Published]) -> Path:
    """Raises UsageError where another README.md is in its place."""
    path = reports / "README.md"
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(ABOUT.partition("\n")[0]):
        raise UsageError(f"{path} is no index of runs: name the folder that the runs are in with --reports, or move that file away")
    path.write_text(render_index(runs), encoding="utf-8")
    return path


def render_index(runs: Sequence[Published]) -> str:
    """The page. Of each run: its folder, when and on what it was measured, its headline, and its headline ratios."""
    shown = shared_modes(runs)
    against = [f"{MODES[mode].lower()} {peer}" for mode in shown for peer in ("× torch.nn", "× torch.nn's GRU")]
    headers = ["run", "measured", "on", "headline", *against]
    rows = [[*named(run), *(format_mean_speed(run.best(mode, peer)) or NONE for mode in shown for peer in ("same", "gru"))] for run in runs]
    lines = ["| " + " | ".join(row) + " |" for row in (headers, [":--"] * len(headers), *rows)]
    return "\n".join([ABOUT, "", *(lines if runs else ["Nothing is published yet."])]) + "\n"


def named(run: Published) -> list[str]:
    measured, torch = f"{run.day}, commit {escape(run.commit)}", run.records.run.environment.torch
    return [f"[{escape(run.name)}]({run.name}/report.md)", measured, f"{escape(run.machine)}, torch {escape(torch)}", run.headline]

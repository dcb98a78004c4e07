"""Published runs: their kind, headline and mean speedups."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.records import RecordError, Records, find_records, read_records
from bench.render.case_grid import HOST, Grid, build_grids
from bench.render.formatting import MODES, NONE, count_noun, format_factor, format_interval
from bench.render.headline import write_headline
from bench.render.mean_speeds import PEERS, MeanSpeed, Peer, choose_mean, compute_mean_speeds

Kind = Literal["speed", "learning", "scaling", "signals"]


@dataclass(frozen=True)
class Published:
    """A run and the folder that it is published in."""

    folder: Path
    records: Records

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def day(self) -> str:
        return self.records.run.started[:10]

    @property
    def commit(self) -> str:
        here = self.records.run.environment
        return f"{here.commit[:9] or 'unknown'}{' with changes' if here.dirty else ''}"

    @property
    def machine(self) -> str:
        here = self.records.run.environment
        return f"{here.device}, {count_noun(here.threads, 'thread')}" if here.device_kind == "cpu" else here.device

    @cached_property
    def grids(self) -> list[Grid]:
        return build_grids(self.records.cases)

    @property
    def kind(self) -> Kind:
        kinds: dict[Kind, object] = {"speed": self.records.cases, "learning": self.records.training, "scaling": self.records.scale}
        return next((kind for kind, found in kinds.items() if found), "signals")

    @property
    def headline(self) -> str:
        """Returns a few sentences as markdown."""
        return write_headline(self.records, self.grids)

    def find_means(self, mode: str, peer: Peer) -> list[MeanSpeed]:
        """Returns for each dtype the mean speedup of the backend with the most cases, the fastest among equals, including the input
        projection."""
        grids = [grid for grid in self.grids if grid.common.input_product and grid.common.mode == mode]
        means = ([mean for mean in compute_mean_speeds(grid) if mean.peer == peer] for grid in grids)
        return [mean for found in means if (mean := choose_mean(found))]


def read_published(reports: Path, tell: Callable[[str], None] = lambda words: None) -> list[Published]:
    """Reads the runs in a folder, the newest first, without those that can't be read. In a git checkout only tracked runs count, so
    `git add` publishes a new run.

    Args:
        reports: The folder of the runs.
        tell: Called with a line about each folder that is left out.
    """
    found = []
    for folder in list_folders(reports):
        if not is_tracked(folder):
            tell(f"left out: {folder}, which git does not know: git add {folder} publishes it")
            continue
        try:
            found.append(Published(folder, read_records(folder)))
        except RecordError as error:
            tell(f"left out: {error}")
    return sorted(found, key=lambda run: (run.records.run.started, run.name), reverse=True)


def list_folders(reports: Path) -> list[Path]:
    """Returns the subfolders that have records."""
    return [folder for folder in sorted(reports.iterdir()) if find_records(folder)]


def is_tracked(folder: Path) -> bool:
    """Returns whether git tracks the records of a folder; True outside a git checkout."""
    asked = ["git", "-C", str(folder), "ls-files", "records.jsonl", "records.jsonl.gz"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return True
    return bool(answer.stdout) or "not a git repository" in answer.stderr


def format_means(means: Sequence[MeanSpeed]) -> str:
    """Returns "1.46× [1.40, 1.54] (compiled, 12)", or with three host-bound peers "1.46× [1.40, 1.54] (persistent, 12, 3 †)", for each
    dtype."""

    def format_mean(mean: MeanSpeed) -> str:
        host = f", {mean.host_bound} {HOST}" if mean.host_bound else ""
        dtype = f"{mean.dtype} " if len(means) > 1 else ""
        return f"{dtype}{format_factor(mean.value)}{format_interval(mean.ratio)} ({mean.backend}, {mean.cases}{host})"

    return "; ".join(map(format_mean, means)) or NONE


def tabulate_ratios(runs: Sequence[Published]) -> tuple[list[str], list[list[str]]]:
    """Returns the headers and the rows of the mean speedups of runs, for all modes and peers that any run has."""
    keys: list[tuple[str, Peer]] = [(mode, peer) for mode in MODES for peer in PEERS]
    found = {key: [run.find_means(*key) for run in runs] for key in keys}
    kept = [key for key in keys if any(found[key])]
    headers = [f"{MODES[mode].lower()} × {PEERS[peer]}" for mode, peer in kept]
    return headers, [[format_means(found[key][k]) for key in kept] for k in range(len(runs))]

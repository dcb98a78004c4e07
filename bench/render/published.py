"""Published runs: their kind, headline and mean speedups."""

import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.records import RecordError, Records, find_records, read_records
from bench.render.case_grid import HOST, Grid, build_grids
from bench.render.claims import claim_run
from bench.render.formatting import MODES, NONE, count_noun, format_factor
from bench.render.speed_claims import NOT_IN_HEADLINE, claim_speed
from bench.render.speed_tables import MeanSpeed, compute_mean_speeds

PEERS = {"same": "× torch.nn", "gru": "× torch.nn's GRU"}
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
        """Returns one or two sentences as markdown."""
        return claim_speed(self.grids) if self.kind == "speed" else claim_run(self.records)

    @cached_property
    def ratios(self) -> tuple[MeanSpeed, ...]:
        """Returns the mean speedups of all backends except baselines, in all modes, including the input projection."""
        grids = [grid for grid in self.grids if grid.common.input_product]
        return tuple(ratio for grid in grids for ratio in compute_mean_speeds(grid) if ratio.backend not in NOT_IN_HEADLINE)

    def find_best(self, mode: str, peer: str) -> MeanSpeed | None:
        """Returns the mean speedup of the backend with the most cases (the fastest among equals), or None."""
        found = [ratio for ratio in self.ratios if (ratio.mode, ratio.peer) == (mode, peer)]
        return max(found, key=lambda ratio: (ratio.cases, ratio.value), default=None)


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


def format_mean_speed(ratio: MeanSpeed | None) -> str:
    """Returns "1.46× (compiled, 12)", or with three host-bound peers "1.46× (persistent, 12, 3 †)"."""
    if not ratio:
        return ""
    return f"{format_factor(ratio.value)} ({ratio.backend}, {ratio.cases}{f', {ratio.host_bound} {HOST}' if ratio.host_bound else ''})"


def tabulate_ratios(runs: Sequence[Published]) -> tuple[list[str], list[list[str]]]:
    """Returns the headers and the rows of the mean speedups of runs, for all modes in which any run has one."""
    modes = [mode for mode in MODES if any(ratio.mode == mode for run in runs for ratio in run.ratios)]
    keys = [(mode, peer) for mode in modes for peer in PEERS]
    headers = [f"{MODES[mode].lower()} {PEERS[peer]}" for mode, peer in keys]
    return headers, [[format_mean_speed(run.find_best(*key)) or NONE for key in keys] for run in runs]

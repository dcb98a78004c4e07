"""Published runs: what kind each is, and its headline, as an index has them."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal

from bench.records import Records, find_records, read_records
from bench.render.case_grid import HOST, Grid, build_grids
from bench.render.claims import claim_signals, claim_training
from bench.render.formatting import MODES, count_noun, format_factor
from bench.render.speed_claims import BASELINES, headline
from bench.render.speed_tables import MeanSpeed, mean_speeds

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
        """A sentence or two, as markdown."""
        if self.kind == "speed":
            return headline(self.grids)
        return claim_training(self.records) if self.kind == "learning" else claim_signals(self.records)

    @cached_property
    def ratios(self) -> tuple[MeanSpeed, ...]:
        """Return the speed ratios of all backends that aren't baselines, in all modes, including the input projection."""
        return tuple(
            ratio for grid in self.grids if grid.common.input_product for ratio in mean_speeds(grid) if ratio.backend not in BASELINES
        )

    def best(self, mode: str, peer: str) -> MeanSpeed | None:
        """Of the backend with the most cases, the fastest of those with as many."""
        found = [ratio for ratio in self.ratios if (ratio.mode, ratio.peer) == (mode, peer)]
        return max(found, key=lambda ratio: (ratio.cases, ratio.value), default=None)


def read_published(reports: Path) -> list[Published]:
    """The runs in a folder, the newest first. In a git checkout those that git knows: a run just measured is published by `git add`.
    Raises RecordError where one can't be read."""
    found = [Published(folder, read_records(folder)) for folder in folders(reports) if is_tracked(folder)]
    return sorted(found, key=lambda run: (run.records.run.started, run.name), reverse=True)


def folders(reports: Path) -> list[Path]:
    """Those in a folder that have records."""
    return [folder for folder in sorted(reports.iterdir()) if find_records(folder)]


def is_tracked(folder: Path) -> bool:
    """Whether git tracks its records; True where there is no git checkout to ask."""
    asked = ["git", "-C", str(folder), "ls-files", "records.jsonl", "records.jsonl.gz"]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return True
    return bool(answer.stdout) or "not a git repository" in answer.stderr


def format_mean_speed(ratio: MeanSpeed | None) -> str:
    """ "1.46× (compiled, 12)", or with three host-bound peers "1.46× (resident, 12, 3 †)"."""
    if not ratio:
        return ""
    return f"{format_factor(ratio.value)} ({ratio.backend}, {ratio.cases}{f', {ratio.host_bound} {HOST}' if ratio.host_bound else ''})"


def shared_modes(runs: Sequence[Published]) -> list[str]:
    """The modes in which any of the runs has a ratio."""
    return [mode for mode in MODES if any(ratio.mode == mode for run in runs for ratio in run.ratios)]

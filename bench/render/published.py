"""Published runs: what kind each is, and its headline, as an index has them."""

import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from statistics import geometric_mean
from typing import Literal

from bench.analysis.summary import host_bound
from bench.records import Records, read_records
from bench.render.case_grid import HOST, Grid, grids
from bench.render.claims import learnt, travelled
from bench.render.formatting import MODES, factor, plural
from bench.render.run_report import BASELINES, headline

Kind = Literal["speed", "learning", "scaling", "signals"]
FILE = "records.jsonl"


@dataclass(frozen=True)
class Ratio:
    """The geometric mean of a backend's speed over so many cases of a mode, against `peer`, whose time was `host_bound` in so many."""

    mode: str
    backend: str
    peer: str
    value: float
    cases: int
    host_bound: int = 0


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
        return f"{here.device}, {plural(here.threads, 'thread')}" if here.device_kind == "cpu" else here.device

    @cached_property
    def grids(self) -> list[Grid]:
        return grids(self.records.cases)

    @property
    def kind(self) -> Kind:
        kinds: dict[Kind, object] = {"speed": self.records.cases, "learning": self.records.training, "scaling": self.records.scale}
        return next((kind for kind, found in kinds.items() if found), "signals")

    @property
    def headline(self) -> str:
        """A sentence or two, as markdown."""
        if self.kind == "speed":
            return headline(self.grids)
        return learnt(self.records) if self.kind == "learning" else travelled(self.records)

    @cached_property
    def ratios(self) -> tuple[Ratio, ...]:
        """Of all backends that aren't baselines, in all modes with the input product."""
        return tuple(ratio for grid in self.grids if grid.common.input_product for ratio in ratios(grid))

    def best(self, mode: str, peer: str) -> Ratio | None:
        """Of the backend with the most cases, the fastest of those with as many."""
        found = [ratio for ratio in self.ratios if (ratio.mode, ratio.peer) == (mode, peer)]
        return max(found, key=lambda ratio: (ratio.cases, ratio.value), default=None)


def published(reports: Path) -> list[Published]:
    """The runs in a folder, the newest first. In a git checkout those that git knows: a run just measured is published by `git add`.
    Raises RecordError where one can't be read."""
    found = [Published(folder, read_records(folder)) for folder in folders(reports) if known(folder)]
    return sorted(found, key=lambda run: (run.records.run.started, run.name), reverse=True)


def folders(reports: Path) -> list[Path]:
    """Those in a folder that have records."""
    return [folder for folder in sorted(reports.iterdir()) if (folder / FILE).is_file()]


def known(folder: Path) -> bool:
    """Whether git tracks its records; True where there is no git checkout to ask."""
    asked = ["git", "-C", str(folder), "ls-files", "--error-unmatch", FILE]
    try:
        answer = subprocess.run(asked, capture_output=True, text=True, check=False)
    except OSError:
        return True
    return answer.returncode == 0 or "not a git repository" in answer.stderr


def ratios(grid: Grid) -> Iterator[Ratio]:
    for backend in grid.backends:
        found: dict[str, list[float]] = {}
        bound = Counter[str]()
        for row in grid.rows if backend not in BASELINES else ():
            record = grid.timed(row).get(backend)
            if record and (speed := grid.speed(record)):
                peers = grid.peers(row)
                peer = "same" if peers.same else "gru"
                found.setdefault(peer, []).append(speed.ratio.value)
                bound[peer] += bool(peers.first and host_bound(peers.first))
        yield from (Ratio(grid.common.mode, backend, peer, geometric_mean(v), len(v), bound[peer]) for peer, v in found.items())


def cited(ratio: Ratio | None) -> str:
    """ "1.46× (compiled, 12)", or with three host-bound peers "1.46× (resident, 12, 3 †)"."""
    if not ratio:
        return ""
    return f"{factor(ratio.value)} ({ratio.backend}, {ratio.cases}{f', {ratio.host_bound} {HOST}' if ratio.host_bound else ''})"


def modes(runs: Sequence[Published]) -> list[str]:
    """The modes in which any of the runs has a ratio."""
    return [mode for mode in MODES if any(ratio.mode == mode for run in runs for ratio in run.ratios)]

"""One case over the runs of one machine: where its speed changed, and what became slower.

Machines drift: between two runs of the same code all of torch.nn may be 1.4 times as fast. So a case is never compared with its own earlier
seconds, but its ratio to the vendor's case, interleaved with it, with the same ratio before; what slows both is in neither. What
has no vendor's case is shown and not judged.

A change point is a run whose ratios are shown to differ from those of all runs since the last change point, pooled. Three things must
hold. The median differs by more than the margin, and its 95% interval excludes 1 (`bench.analysis.verdict`). The margin is the widest of
the runs'
own and of what lies between them: by how much the ratios of eager and torchrecurrent, in which no kernel of this project runs, differ at
most. And the rank sum of the two (Mann & Whitney 1947) would come by chance with a probability of less than FALSE over all comparisons of
the machine (Bonferroni): of hundreds of cases over a dozen runs, one in twenty would else change by luck. Pooling since the last change
finds what became slower in steps too small to be significant one by one.

Runs are joined where machine and settings are the same; versions may differ, and are named at a change.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from statistics import median

from scipy import stats

from bench.analysis.comparison import CHOICE, SAME
from bench.analysis.median_ci import Estimate, median_ci, ratio_ci
from bench.analysis.summary import CaseIndex, find_peers, is_comparable, is_timed
from bench.analysis.verdict import Speed, is_throttled, judge, measure_noise, relative_difference
from bench.records import Case, CaseRecord, Records

VERSIONS = ("python", "torch", "triton", "cuda", "cudnn", "driver", "compiler", "torchrecurrent", "packages")
MACHINE = tuple(name for name in SAME if name not in VERSIONS)
"""What must be the same for two runs to be of one machine."""
PASSING = (*CHOICE, "thorough")
"""Settings that only choose cases, or how often each is called."""
REFERENCES = ("eager", "torchrecurrent")
FALSE = 0.05
"""The probability of a change in the whole history of a machine where there was none."""

Floors = Mapping[tuple[str, str], float]
"""By the names of two runs, the earlier first, how much their references differ."""


@dataclass(frozen=True)
class Point:
    """A case in a run. `ratios` are its speeds against the vendor's case, interleaved, in the rounds that both were timed in."""

    run: str
    records: Records
    record: CaseRecord
    ratios: tuple[float, ...]
    margin: float

    @property
    def value(self) -> float:
        return median(self.ratios)

    @property
    def estimate(self) -> Estimate:
        """The value with its interval, which takes a while."""
        return median_ci(self.ratios)


@dataclass(frozen=True)
class Change:
    """A point that differs from those since the change before, of which `before` is the one in the middle. `speed` is how many times as
    fast it is; `versions` names those that changed with it."""

    before: Point
    after: Point
    speed: Speed
    margin: float
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """A case over time. `comparisons` are those of its machine, of all cases."""

    case: Case
    points: tuple[Point, ...]
    floors: Floors
    comparisons: int

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        return tuple(find_changes(self.points, self.floors, FALSE / self.comparisons))

    @property
    def regression(self) -> Change | None:
        """The last change to slower that was not made up for: with all changes since, the case is slower by more than the margin."""
        for k, change in reversed(list(enumerate(self.changes))):
            since = prod(later.speed.ratio.value for later in self.changes[k:])
            if change.speed.verdict == "slower" and since < 1 and relative_difference(since) > change.margin:
                return change
        return None


@dataclass(frozen=True)
class Timeline:
    """Runs of one machine and the same settings, from the oldest, each with its name."""

    runs: tuple[tuple[str, Records], ...]

    @property
    def where(self) -> str:
        here = self.runs[0][1].run.environment
        threads = f"{here.threads} threads, " if here.device_kind == "cpu" else ""
        return f"{here.device}, {threads}{here.system}"

    @cached_property
    def points(self) -> dict[Case, tuple[Point, ...]]:
        """Return the points of every case that can be compared with the vendor in two runs or more."""
        found: dict[Case, list[Point]] = {}
        for name, run in self.runs:
            table, margin = CaseIndex.of(run.cases), measure_noise(run.cases).margin
            for case, record in table.items():
                if not case.aa_repeat and (pairs := ratios_by_round(record, table)):
                    found.setdefault(case, []).append(Point(name, run, record, pairs, margin))
        return {case: tuple(points) for case, points in found.items() if len(points) > 1}

    @cached_property
    def floors(self) -> dict[tuple[str, str], float]:
        found: dict[tuple[str, str], float] = {}
        for case, points in self.points.items():
            for a, b in combinations(points, 2) if case.backend in REFERENCES else ():
                key = (a.run, b.run)
                found[key] = max(found.get(key, 0.0), relative_difference(b.value / a.value))
        return found

    @cached_property
    def series(self) -> list[Series]:
        judged = {case: points for case, points in self.points.items() if case.backend not in REFERENCES}
        comparisons = sum(len(points) - 1 for points in judged.values())
        return [Series(case, points, self.floors, comparisons) for case, points in judged.items()]


def build_timelines(runs: Iterable[tuple[str, Records]]) -> list[Timeline]:
    """Runs with cases, by machine and settings, each from the oldest; the one with the latest run comes first."""
    found: dict[tuple[object, ...], list[tuple[str, Records]]] = {}
    for name, run in sorted(runs, key=lambda pair: pair[1].run.started):
        if run.cases:
            found.setdefault(machine_key(run), []).append((name, run))
    return sorted((Timeline(tuple(members)) for members in found.values()), key=lambda t: t.runs[-1][1].run.started, reverse=True)


def machine_key(run: Records) -> tuple[object, ...]:
    """The machine, settings and seed that two runs share which are compared."""
    settings = {name: value for name, value in run.run.settings.items() if name not in PASSING}
    return *(getattr(run.run.environment, name) for name in MACHINE), str(sorted(settings.items())), run.run.seed


def ratios_by_round(record: CaseRecord, table: CaseIndex) -> tuple[float, ...]:
    """How many times as fast as the vendor's case a case is, by round; () where there is none."""
    peer = find_peers(table, record.case).first if record.case.backend != "vendor" and is_timed(record) else None
    if not peer or not is_comparable(record, peer):
        return ()
    theirs = dict(zip(peer.rounds, peer.samples, strict=False))
    return tuple(theirs[number] / taken for number, taken in zip(record.rounds, record.samples, strict=False) if number in theirs)


def find_changes(points: Sequence[Point], floors: Floors, level: float) -> Iterator[Change]:
    """The change points of a case; `level` is the probability of chance that a single comparison may have."""
    since = [points[0]]
    for now in points[1:]:
        change = test_change(since, now, floors) if rank_sum_pvalue(since, now) < level else None
        if change:
            yield change
        since = [now] if change else [*since, now]


def rank_sum_pvalue(since: Sequence[Point], now: Point) -> float:
    """How likely ranks as unequal as those of two samples of the same thing are."""
    return float(stats.mannwhitneyu(now.ratios, pool_ratios(since)).pvalue)


def pool_ratios(points: Sequence[Point]) -> tuple[float, ...]:
    return tuple(value for point in points for value in point.ratios)


def test_change(since: Sequence[Point], now: Point, floors: Floors) -> Change | None:
    found = ratio_ci(now.ratios, pool_ratios(since))
    margin = max(now.margin, *(max(point.margin, floors.get((point.run, now.run), 0.0)) for point in since))
    said = judge(found, margin, any(is_throttled(point.record) for point in (now, *since)))
    return (
        Change(middle_point(since), now, Speed(found, said), margin, changed_versions(since[-1], now))
        if said in ("faster", "slower")
        else None
    )


def middle_point(points: Sequence[Point]) -> Point:
    """The last of those nearest to their median."""
    centre = median(point.value for point in points)
    return min(reversed(points), key=lambda point: abs(point.value - centre))


def changed_versions(before: Point, after: Point) -> tuple[str, ...]:
    """ "torch 2.12.0 → 2.13.0"."""
    was, now = before.records.run.environment, after.records.run.environment
    pairs = ((name, getattr(was, name), getattr(now, name)) for name in VERSIONS)
    return tuple(f"{name} {old or 'none'} → {new or 'none'}" for name, old, new in pairs if old != new)

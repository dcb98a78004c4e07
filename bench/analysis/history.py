"""Follows a case over the runs of one machine: finds where its speed changed and which cases became slower.

Machines drift: between two runs of the same code all of torch.nn may become 1.4 times as fast. So a case is never compared with its own
earlier seconds. Its ratio to the vendor's case, which is interleaved with it, is compared with the same ratio in earlier runs; whatever
slows both cancels. A case without a vendor's case is shown but not judged.

A change point is a run whose ratios differ significantly from those of all runs since the last change point, pooled. Three conditions must
hold. (1) The median differs by more than the margin. The margin is the widest of the runs' own margins and of the largest difference,
between these runs, of the ratios of eager and torchrecurrent, which run no kernel of this project. (2) The 95% interval of the ratio
excludes 1 (`bench.analysis.verdict`). (3) The p-value of a rank-sum test (Mann & Whitney 1947) is below FALSE divided by the number of
comparisons of the machine (Bonferroni), because one in twenty of hundreds of cases would otherwise change by chance. Pooling finds a slow
decline whose single steps are not significant.

Runs are joined if machine and settings are the same. Versions may differ; they are named at a change.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import prod
from statistics import median

from scipy import stats

from bench.analysis.comparison import CHOICE, MACHINE, VERSIONS
from bench.analysis.median_ci import Estimate, median_ci, ratio_ci
from bench.analysis.relative_times import ratios_to_vendor
from bench.analysis.summary import CaseIndex
from bench.analysis.verdict import Speed, is_throttled, judge, measure_noise, relative_difference
from bench.records import Case, CaseRecord, Records

PASSING = (*CHOICE, "thorough", "samples")
"""Settings that only select cases or the number of calls."""
REFERENCES = ("eager", "torchrecurrent")
FALSE = 0.05
"""The probability of a false change in the whole history of a machine."""

Floors = Mapping[tuple[str, str], float]
"""The difference of the references between two runs, by their names, the earlier first."""


@dataclass(frozen=True)
class Point:
    """A case in a run. `ratios` are its speedups over the vendor's case by build."""

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
        """Returns the value with its interval, which takes a while."""
        return median_ci(self.ratios)


@dataclass(frozen=True)
class Change:
    """A point that differs from the points since the last change.

    Attributes:
        before: The middle one of these points.
        after: The point.
        speed: The ratio of the two.
        versions: The versions that changed with it.
    """

    before: Point
    after: Point
    speed: Speed
    margin: float
    versions: tuple[str, ...]


@dataclass(frozen=True)
class Series:
    """A case over time. `comparisons` counts those of all cases of its machine."""

    case: Case
    points: tuple[Point, ...]
    floors: Floors
    comparisons: int

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """Returns the change points."""
        return tuple(find_changes(self.points, self.floors, FALSE / self.comparisons))

    @property
    def regression(self) -> Change | None:
        """Returns the last change to slower that later changes did not make up for, or None."""
        for k, change in reversed(list(enumerate(self.changes))):
            since = prod(later.speed.ratio.value for later in self.changes[k:])
            if change.speed.verdict == "slower" and since < 1 and relative_difference(since) > change.margin:
                return change
        return None


@dataclass(frozen=True)
class Timeline:
    """The runs of one machine with the same settings and their names, the oldest first."""

    runs: tuple[tuple[str, Records], ...]

    @property
    def where(self) -> str:
        """Returns the machine in words."""
        here = self.runs[0][1].run.environment
        threads = f"{here.threads} threads, " if here.device_kind == "cpu" else ""
        return f"{here.device}, {threads}{here.system}"

    @cached_property
    def points(self) -> dict[Case, tuple[Point, ...]]:
        """Returns the points of every case that can be compared with the vendor in at least two runs."""
        found: dict[Case, list[Point]] = {}
        for name, run in self.runs:
            table, margin = CaseIndex.from_records(run.cases), measure_noise(run.cases).margin
            for case, record in table.items():
                if not case.aa_repeat and (pairs := ratios_to_vendor(record, table)):
                    found.setdefault(case, []).append(Point(name, run, record, pairs, margin))
        return {case: tuple(points) for case, points in found.items() if len(points) > 1}

    @cached_property
    def floors(self) -> dict[tuple[str, str], float]:
        """Returns the largest difference of the references, for each two runs."""
        found: dict[tuple[str, str], float] = {}
        for case, points in self.points.items():
            for a, b in combinations(points, 2) if case.backend in REFERENCES else ():
                key = (a.run, b.run)
                found[key] = max(found.get(key, 0.0), relative_difference(b.value / a.value))
        return found

    @cached_property
    def series(self) -> list[Series]:
        """Returns the series of every case that is judged."""
        judged = {case: points for case, points in self.points.items() if case.backend not in REFERENCES}
        comparisons = sum(len(points) - 1 for points in judged.values())
        return [Series(case, points, self.floors, comparisons) for case, points in judged.items()]


def build_timelines(runs: Iterable[tuple[str, Records]]) -> list[Timeline]:
    """Groups runs with cases by machine and settings, each group from the oldest run; the group with the latest run comes first."""
    found: dict[tuple[object, ...], list[tuple[str, Records]]] = {}
    for name, run in sorted(runs, key=lambda pair: pair[1].run.started):
        if run.cases:
            found.setdefault(describe_machine(run), []).append((name, run))
    return sorted((Timeline(tuple(members)) for members in found.values()), key=lambda t: t.runs[-1][1].run.started, reverse=True)


def describe_machine(run: Records) -> tuple[object, ...]:
    """Returns the machine, settings and seed that compared runs share."""
    settings = {name: value for name, value in run.run.settings.items() if name not in PASSING}
    return *(getattr(run.run.environment, name) for name in MACHINE), str(sorted(settings.items())), run.run.seed


def find_changes(points: Sequence[Point], floors: Floors, level: float) -> Iterator[Change]:
    """Yields the change points of a case. `level` is the allowed p-value of a single comparison."""
    since = [points[0]]
    for now in points[1:]:
        change = find_change(since, now, floors) if test_ranks(since, now) < level else None
        if change:
            yield change
        since = [now] if change else [*since, now]


def test_ranks(since: Sequence[Point], now: Point) -> float:
    """Returns the p-value of the rank-sum test of Mann & Whitney (1947)."""
    return float(stats.mannwhitneyu(now.ratios, pool_ratios(since)).pvalue)


def pool_ratios(points: Sequence[Point]) -> tuple[float, ...]:
    return tuple(value for point in points for value in point.ratios)


def find_change(since: Sequence[Point], now: Point, floors: Floors) -> Change | None:
    found = ratio_ci(now.ratios, pool_ratios(since))
    margin = max(now.margin, *(max(point.margin, floors.get((point.run, now.run), 0.0)) for point in since))
    said = judge(found, margin, any(is_throttled(point.record) for point in (now, *since)))
    if said not in ("faster", "slower"):
        return None
    return Change(find_middle_point(since), now, Speed(found, said), margin, list_version_changes(since[-1], now))


def find_middle_point(points: Sequence[Point]) -> Point:
    """Returns the last of the points nearest to their median."""
    centre = median(point.value for point in points)
    return min(reversed(points), key=lambda point: abs(point.value - centre))


def list_version_changes(before: Point, after: Point) -> tuple[str, ...]:
    """Lists changed versions, as "torch 2.12.0 → 2.13.0"."""
    was, now = before.records.run.environment, after.records.run.environment
    pairs = ((name, getattr(was, name), getattr(now, name)) for name in VERSIONS)
    return tuple(f"{name} {old or 'none'} → {new or 'none'}" for name, old, new in pairs if old != new)

"""Compares two runs case by case."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from statistics import mean, median
from typing import Literal

from bench.analysis.mean_ci import mean_of_ratios
from bench.analysis.median_ci import Estimate, ratio_ci
from bench.analysis.relative_times import relate_to_vendor
from bench.analysis.summary import is_comparable, is_timed, times_by_build
from bench.analysis.verdict import Speed, Verdict, is_throttled, judge, measure_noise
from bench.errors import UsageError
from bench.records import FAILURES, Case, CaseRecord, Records
from bench.records.case_record import join_builds

MACHINE = ("device", "device_kind", "processor", "cores", "threads", "system")
VERSIONS = ("python", "torch", "triton", "cuda", "cudnn", "driver", "compiler", "torchrecurrent", "packages")
SAME = (*MACHINE, *VERSIONS)
"""The fields of the environment that must agree if a ratio is to measure the code: those of the machine and the versions."""
CHOICE = ("cells", "backends", "seq_lens", "batch", "hidden", "input", "modes", "shard", "against")
"""Settings that only select cases. A case of only one run is listed."""


@dataclass(frozen=True)
class RunSet:
    """One side of a comparison: a name, and one or more runs of the same code on the same machine."""

    name: str
    runs: tuple[Records, ...]

    @cached_property
    def cases(self) -> dict[Case, CaseRecord]:
        """Returns the pooled samples of all runs by case. A case that failed in one run has failed."""
        return pool_cases(self.runs)

    @cached_property
    def relative(self) -> dict[Case, CaseRecord]:
        """Returns the same with samples relative to torch.nn's in the same round; cases that torch.nn lacks have none."""
        return pool_cases([relate_to_vendor(run) for run in self.runs])

    @property
    def margin(self) -> float:
        """Returns the relative difference that noise can cause: the largest of all runs."""
        return max(measure_noise(run.cases).margin for run in self.runs)

    @property
    def commit(self) -> str:
        """Returns the commit, and whether it had changes."""
        here = self.runs[0].run.environment
        return f"{here.commit[:12] or 'unknown'}{' with changes' if here.dirty else ''}"


def pool_cases(runs: Sequence[Records]) -> dict[Case, CaseRecord]:
    """Returns the pooled records of runs by case, without A/A repeats."""
    found: dict[Case, list[CaseRecord]] = {}
    for record in (record for run in runs for record in run.cases if not record.case.aa_repeat):
        found.setdefault(record.case, []).append(record)
    return {case: pool_samples(records) for case, records in found.items()}


def pool_samples(records: Sequence[CaseRecord]) -> CaseRecord:
    """Returns a record with the samples of all records of a case, or the worst record if one has no time."""
    worst = min(records, key=lambda record: (record.status not in FAILURES, is_timed(record)))
    if not is_timed(worst):
        return worst
    places = [(number, build) for number, record in enumerate(records) for build, rounds in record.by_build.items() for _ in rounds]
    numbers = {place: number for number, place in enumerate(dict.fromkeys(places))}
    joined = join_builds(records)
    return joined.model_copy(update={"rounds": list(range(len(joined.samples))), "builds": [numbers[place] for place in places]})


@dataclass(frozen=True)
class Pair:
    """A case in both runs.

    Attributes:
        a: Its record in A, None if A lacks it.
        b: Its record in B, None if B lacks it.
        speed: A's time divided by B's, if both have a time.
        relative: The times are relative to torch.nn's.
    """

    case: Case
    a: CaseRecord | None
    b: CaseRecord | None
    speed: Speed | None
    relative: bool = False

    @property
    def why(self) -> str:
        """Returns why there is no speed, or ""."""
        if self.speed:
            return ""
        if not (self.a and self.b):
            return "only in A" if self.a else "only in B"
        without = [name for name, record in (("A", self.a), ("B", self.b)) if not is_timed(record)]
        other = "no torch.nn to relate it to" if self.relative else "different work or numerics"
        return f"no time in {' and '.join(without)}" if without else other

    @property
    def changed(self) -> bool:
        """Returns whether both runs have the case, without a speed and with different statuses or different work."""
        if self.speed or self.is_unrelated or not (self.a and self.b):
            return False
        return self.a.status != self.b.status or is_timed(self.a)

    @property
    def is_unrelated(self) -> bool:
        """Returns whether both have a time, and torch.nn has none that relates the two machines."""
        return self.relative and not self.speed and all(record and is_timed(record) for record in (self.a, self.b))

    @property
    def slower(self) -> bool:
        """Returns whether the case became slower, or lost its time."""
        lost = self.a is not None and is_timed(self.a) and not (self.b and is_timed(self.b))
        return self.speed.verdict == "slower" if self.speed else lost


@dataclass(frozen=True)
class View:
    """The pairs of a comparison that are listed; counts and means are of all.

    Attributes:
        one_sided: Also those of one run only.
        only_changed: Only those whose speed or status changed.
        only_slower: Only those that became slower or lost their time.
    """

    one_sided: bool = False
    only_changed: bool = False
    only_slower: bool = False

    def lists(self, pair: Pair) -> bool:
        if not (pair.a and pair.b):
            return self.one_sided and (pair.slower or not self.only_slower)
        moved = pair.changed or (pair.speed is not None and pair.speed.verdict in ("faster", "slower"))
        return (pair.slower or not self.only_slower) and (moved or not self.only_changed)


IN_BOTH = View()


@dataclass(frozen=True)
class Comparison:
    """The comparison of B with A.

    Attributes:
        unlike: The differences between the two other than the code.
        relative: Whether speeds are relative to torch.nn's in each run, as those of two machines are.
    """

    a: RunSet
    b: RunSet
    pairs: tuple[Pair, ...]
    unlike: tuple[str, ...]
    margin: float
    relative: bool = False

    @property
    def compared(self) -> list[tuple[Pair, Speed]]:
        """Returns the pairs with a speed, the slowest first."""
        found = [(pair, pair.speed) for pair in self.pairs if pair.speed]
        return sorted(found, key=lambda pair: pair[1].ratio.value)

    @property
    def changed(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.changed]

    @property
    def one_sided(self) -> list[Pair]:
        """Returns the pairs of which one run has no case."""
        return [pair for pair in self.pairs if not (pair.a and pair.b)]

    def select(self, cells: Sequence[str], backends: Sequence[str]) -> "Comparison":
        """Returns the comparison of some cells and backends alone; () stands for all.

        Raises:
            UsageError: No case is of a given cell or backend.
        """
        for flag, known, names in (("--cells", {p.case.cell for p in self.pairs}, cells),
                                   ("--backends", {p.case.backend for p in self.pairs}, backends)):  # fmt: skip
            if missing := [name for name in names if name not in known]:
                raise UsageError(f"{flag}: neither run has {missing[0]}: there are {', '.join(sorted(known))}")
        kept = (p for p in self.pairs if p.case.cell in (cells or (p.case.cell,)) and p.case.backend in (backends or (p.case.backend,)))
        return replace(self, pairs=tuple(kept))

    @property
    def geomean(self) -> Estimate | None:
        """Returns the geometric mean of the speeds, or None."""
        return mean_of_ratios(speed.ratio for _, speed in self.compared) if self.compared else None

    def count(self, verdict: Verdict) -> int:
        return sum(speed.verdict == verdict for _, speed in self.compared)


def compare(a: RunSet, b: RunSet, to_vendor: bool = False) -> Comparison:
    """Compares two sets of runs. Those of two machines are compared by their speed relative to torch.nn's, if both have any.

    Args:
        a: The first set.
        b: The second one.
        to_vendor: Whether to compare those of one machine so too.

    Raises:
        UsageError: They have no case in common.
    """
    cases = [*a.cases, *(case for case in b.cases if case not in a.cases)]
    if not a.cases.keys() & b.cases.keys():
        raise UsageError(f"{a.name} and {b.name} have no case in common: compare runs of the same cells and sizes")
    margin = max(a.margin, b.margin)
    one, other = (side.runs[0].run.environment for side in (a, b))
    unlike = to_vendor or any(getattr(one, name) != getattr(other, name) for name in MACHINE)
    related = (a.relative, b.relative) if unlike else (a.cases, b.cases)
    relative = related[0] is not a.cases and any(is_timed(r) and is_timed(related[1].get(case, r)) for case, r in related[0].items())
    was, now = related if relative else (a.cases, b.cases)
    pairs = (Pair(case, a.cases.get(case), b.cases.get(case), judge_pair(was.get(case), now.get(case), margin), relative) for case in cases)
    return Comparison(a, b, tuple(pairs), tuple(list_differences(a.runs[0], b.runs[0])), margin, relative)


def judge_pair(a: CaseRecord | None, b: CaseRecord | None, margin: float) -> Speed | None:
    """Returns A's time divided by B's, or None if one has no time or they differ in what they do."""
    if not (a and b and is_timed(a) and is_timed(b) and is_comparable(a, b)):
        return None
    found = ratio_ci(times_by_build(a), times_by_build(b))
    return Speed(found, judge(found, margin, is_throttled(a) or is_throttled(b)))


def list_differences(a: Records, b: Records, free: Sequence[str] = CHOICE) -> Iterator[str]:
    """Lists the differences in machine, versions and settings with both values, as "torch (2.12.0, 2.13.0)". Settings in `free` may
    differ."""
    one, other = a.run, b.run
    places = [(name, getattr(one.environment, name), getattr(other.environment, name)) for name in SAME]
    shared = [name for name in one.settings if name in other.settings and name not in free]
    places += [(name, one.settings[name], other.settings[name]) for name in shared]
    places += [("seed", one.seed, other.seed)] if "seed" not in shared else []
    if bool(one.settings) != bool(other.settings):
        places.append(("settings", "known" if one.settings else "unknown", "known" if other.settings else "unknown"))
    yield from (f"{name} ({was if was != '' else 'none'}, {now if now != '' else 'none'})" for name, was, now in places if was != now)


Statistic = Literal["median", "mean", "min"]
STATISTICS: dict[Statistic, Callable[[Sequence[float]], float]] = {"median": median, "mean": mean, "min": min}


@dataclass(frozen=True)
class Threshold:
    """How much slower a case may become: a share of a statistic of its times."""

    statistic: Statistic
    share: float

    @staticmethod
    def parse(text: str) -> "Threshold":
        """Parses "median:5%".

        Raises:
            UsageError: The text is malformed.
        """
        found = re.fullmatch(r"(median|mean|min):(\d{1,6}(?:\.\d{1,6})?)%", text.strip())
        if found is None:
            raise UsageError(f"--fail-slower takes median, mean or min and a percentage, not {text!r}: for example --fail-slower median:5%")
        return Threshold(found[1], float(found[2]) / 100)  # type: ignore[arg-type]

    def list_violations(self, comparison: Comparison) -> list[str]:
        """Returns one line for each case that is significantly slower by more than the threshold, or that lost its time in B, and one for
        all that B lacks."""
        found = [line for pair in comparison.pairs if pair.b and (line := self.explain_violation(pair))]
        gone = sum(pair.slower for pair in comparison.one_sided)
        lacks = f"B lacks {gone} of A's cases that had a time: --all lists them, --cells and --backends choose"
        return found + ([lacks] if gone else [])

    def explain_violation(self, pair: Pair) -> str:
        name = f"{pair.case.cell} {pair.case.backend} {pair.case.mode} T={pair.case.T}"
        if pair.a and is_timed(pair.a) and not (pair.b and is_timed(pair.b)):
            return f"{name}: had a time, now {pair.b.status if pair.b else 'absent'}"
        if pair.a and pair.b and pair.speed and pair.speed.verdict == "slower":
            of = STATISTICS[self.statistic]
            share = (1 / pair.speed.ratio.value if pair.relative else of(pair.b.samples) / of(pair.a.samples)) - 1
            return f"{name}: {share:.1%} slower by its {self.statistic}" if share > self.share else ""
        return ""

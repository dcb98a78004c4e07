"""Every case of two runs, held side by side."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import geometric_mean, mean, median
from typing import Literal

from bench.analysis.median_ci import ratio
from bench.analysis.summary import alike, timed
from bench.analysis.verdict import Speed, Verdict, noise, throttled, verdict
from bench.errors import UsageError
from bench.records import FAILURES, Case, CaseRecord, Records

SAME = (
    "device", "device_kind", "processor", "cores", "threads", "system", "python", "torch", "triton", "cuda", "cudnn",
    "driver", "compiler", "torchrecurrent", "packages",
)  # fmt: skip
"""What of the environment must be the same for a ratio to be about the code."""
CHOICE = ("cells", "backends", "seq_lens", "modes", "shard")
"""Settings that only choose cases: those that one run has and the other hasn't are listed."""


@dataclass(frozen=True)
class RunSet:
    """One of the two: its name, and one or more runs of the same code on the same machine."""

    name: str
    runs: tuple[Records, ...]

    @cached_property
    def cases(self) -> dict[Case, CaseRecord]:
        """By case, the samples of all runs together. One that failed in any of them has failed."""
        found: dict[Case, list[CaseRecord]] = {}
        for record in (record for run in self.runs for record in run.cases if not record.case.aa_repeat):
            found.setdefault(record.case, []).append(record)
        return {case: pooled(records) for case, records in found.items()}

    @property
    def margin(self) -> float:
        return max(noise(run.cases).margin for run in self.runs)

    @property
    def commit(self) -> str:
        here = self.runs[0].run.environment
        return f"{here.commit[:12] or 'unknown'}{' with changes' if here.dirty else ''}"


def pooled(records: Sequence[CaseRecord]) -> CaseRecord:
    worst = min(records, key=lambda record: (record.status not in FAILURES, timed(record)))
    if not timed(worst):
        return worst
    samples = [sample for record in records for sample in record.samples]
    readings = [reading for record in records for reading in record.readings]
    return worst.model_copy(update={"samples": samples, "rounds": list(range(len(samples))), "readings": readings})


@dataclass(frozen=True)
class Pair:
    """A case in both runs, None where it isn't there. `speed` says how many times as fast B is as A, where both have a time."""

    case: Case
    a: CaseRecord | None
    b: CaseRecord | None
    speed: Speed | None

    @property
    def why(self) -> str:
        """Why there is no speed; "" where there is one."""
        if self.speed:
            return ""
        if not (self.a and self.b):
            return "only in A" if self.a else "only in B"
        without = [name for name, record in (("A", self.a), ("B", self.b)) if not timed(record)]
        return f"no time in {' and '.join(without)}" if without else "other work"

    @property
    def changed(self) -> bool:
        """Whether there is no speed, and not just because neither has a time, for the same reason."""
        alike = self.a and self.b and self.a.status == self.b.status and not timed(self.a) and not timed(self.b)
        return not self.speed and not alike


@dataclass(frozen=True)
class Comparison:
    """B against A. `unlike` names what else differs between the two than the code."""

    a: RunSet
    b: RunSet
    pairs: tuple[Pair, ...]
    unlike: tuple[str, ...]
    margin: float

    @property
    def compared(self) -> list[tuple[Pair, Speed]]:
        """What has a speed: the slowest first."""
        found = [(pair, pair.speed) for pair in self.pairs if pair.speed]
        return sorted(found, key=lambda pair: pair[1].ratio.value)

    @property
    def changed(self) -> list[Pair]:
        return [pair for pair in self.pairs if pair.changed]

    @property
    def geomean(self) -> float | None:
        """Of the speeds; None without any."""
        return geometric_mean(speed.ratio.value for _, speed in self.compared) if self.compared else None

    def count(self, verdict: Verdict) -> int:
        return sum(speed.verdict == verdict for _, speed in self.compared)


def compare(a: RunSet, b: RunSet) -> Comparison:
    """Raises UsageError where the two have no case in common."""
    cases = [*a.cases, *(case for case in b.cases if case not in a.cases)]
    if not a.cases.keys() & b.cases.keys():
        raise UsageError(f"{a.name} and {b.name} have no case in common: compare runs of the same cells and sizes")
    margin = max(a.margin, b.margin)
    pairs = tuple(paired(case, a.cases.get(case), b.cases.get(case), margin) for case in cases)
    return Comparison(a, b, pairs, tuple(unlike(a.runs[0], b.runs[0])), margin)


def paired(case: Case, a: CaseRecord | None, b: CaseRecord | None, margin: float) -> Pair:
    if not (a and b and timed(a) and timed(b) and alike(a, b)):
        return Pair(case, a, b, None)
    found = ratio(tuple(a.samples), tuple(b.samples))
    return Pair(case, a, b, Speed(found, verdict(found, margin, throttled(a) or throttled(b))))


def unlike(a: Records, b: Records, free: Sequence[str] = CHOICE) -> Iterator[str]:
    """What differs in machines, versions and settings but the `free` ones, with both values: "torch (2.12.0, 2.13.0)"."""
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
    """How much slower a case may become: by this share of a statistic of its times."""

    statistic: Statistic
    share: float

    @staticmethod
    def parse(text: str) -> "Threshold":
        """ "median:5%". Raises UsageError."""
        found = re.fullmatch(r"(median|mean|min):(\d{1,6}(?:\.\d{1,6})?)%", text.strip())
        if found is None:
            raise UsageError(f"--fail-slower takes median, mean or min and a percentage, not {text!r}: for example --fail-slower median:5%")
        return Threshold(found[1], float(found[2]) / 100)  # type: ignore[arg-type]

    def broken(self, comparison: Comparison) -> list[str]:
        """What is slower by more and shown to be slower, and what had a time in A and has none in B; a line each."""
        return [line for pair in comparison.pairs if (line := self.fault(pair))]

    def fault(self, pair: Pair) -> str:
        name = f"{pair.case.cell} {pair.case.backend} {pair.case.mode} T={pair.case.T}"
        if pair.a and timed(pair.a) and not (pair.b and timed(pair.b)):
            return f"{name}: had a time, now {pair.b.status if pair.b else 'not there'}"
        if pair.a and pair.b and pair.speed and pair.speed.verdict == "slower":
            of = STATISTICS[self.statistic]
            share = of(pair.b.samples) / of(pair.a.samples) - 1
            return f"{name}: {share:.1%} slower by its {self.statistic}" if share > self.share else ""
        return ""

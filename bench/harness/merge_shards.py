"""Merges the shards of a run, measured on one machine or on several equal ones, into one run."""

import re
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from bench.analysis.comparison import list_differences
from bench.analysis.summary import is_timed, median_time
from bench.errors import UsageError
from bench.records import CaseRecord, Record, Records
from bench.records.training_record import LearnedRecord, TrainingRecord

IDENTIFYING = ("name", "cell", "scaling", "ranks", "init", "T", "B", "D", "H", "N", "w", "v", "mu", "phi", "scale", "dtype", "seed")
"""Fields that identify a measurement, in all kinds of records except cases and trainings."""


@dataclass
class Merged:
    """The result of a merge.

    Attributes:
        lines: The records of the merged run.
        twice: Lines about measurements that several shards have.
        disagreements: Lines about measurements on which shards disagree.
        missing: Lines about missing shards.
    """

    lines: list[Record]
    twice: list[str] = field(default_factory=list)
    disagreements: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)


def merge_records(parts: Sequence[tuple[str, Records]]) -> Merged:
    """Merges runs. A measurement that several of them have is taken from the first.

    Args:
        parts: The name and the records of each run.

    Raises:
        UsageError: Two runs are not shards of the same run.
    """
    (first, one), *rest = parts
    for name, other in rest:
        check_same_run(first, one, name, other)
    settings = {**one.run.settings, "shard": ""} if one.run.settings else {}
    command = re.sub(r" --(shard|out)[ =]\S+| --resume", "", one.run.command)
    merged = Merged([one.run.model_copy(update={"settings": settings, "command": command})], missing=missing_shards(parts))
    had: dict[tuple[Hashable, ...], tuple[str, Record]] = {}
    for name, records in parts:
        merged.lines += [line for line in iterate_records(records) if identify(line) not in had]
        # a shard may have a case twice, failed and then measured: its last record counts
        for key, line in {identify(line): line for line in iterate_records(records)}.items():
            if key not in had:
                had[key] = name, line
                continue
            before, known = had[key]
            merged.twice.append(f"{describe(line)}: in {before} and {name}")
            why = find_disagreement(known, line)
            merged.disagreements += [f"{describe(line)}: {why[0]} in {before}, {why[1]} in {name}"] if why else []
    merged.lines += merge_ends([records for _, records in parts], ", ".join(merged.missing))
    return merged


def merge_ends(parts: Sequence[Records], missing: str) -> list[Record]:
    """Returns the plan and the ends of a merged run. It is unfinished if a shard is, so it has no end then.

    Args:
        parts: The records of each run.
        missing: The names of the shards that are missing.
    """
    shards = {str(records.run.settings.get("shard")): records.plans[-1] for records in parts if records.plans}
    plans = [plan.model_copy(update={"count": sum(p.count for p in shards.values()), "missing": missing}) for plan in shards.values()]
    ended = all(records.ends for records in parts)
    return [*plans[:1], *(end for records in parts for end in records.ends if ended)]


def check_same_run(first: str, one: Records, second: str, other: Records) -> None:
    """Raises UsageError if the settings, machines or commits of two runs differ."""
    here, there = one.run.environment, other.run.environment
    commits = ["commit"] if (here.commit, here.dirty) != (there.commit, there.dirty) else []
    differ = [*list_differences(one, other, free=("shard",)), *commits]
    if differ:
        raise UsageError(f"{first} and {second} are not parts of one run: they differ in {', '.join(differ)}")


def missing_shards(parts: Sequence[tuple[str, Records]]) -> list[str]:
    """Returns the names of shards that are missing. Raises UsageError if the runs are split into different numbers of shards."""
    shards = [str(records.run.settings.get("shard") or "1/1").split("/") for _, records in parts]
    counts = {count for _, count in shards}
    if len(counts) > 1:
        raise UsageError(f"these are shards of {' and of '.join(sorted(counts))}: merge those of one run")
    count = counts.pop()
    return [f"shard {k}/{count}" for k in range(1, int(count) + 1) if str(k) not in {number for number, _ in shards}]


def iterate_records(records: Records) -> Iterator[Record]:
    """Yields the measurements of a run, of all kinds."""
    yield from records.cases
    yield from records.gradients
    yield from records.jacobians
    yield from records.theory
    yield from records.maps
    yield from records.decays
    yield from records.parallel
    yield from records.training
    yield from records.learned
    yield from records.scale


def identify(line: Record) -> tuple[Hashable, ...]:
    """Returns a key that identifies a measurement within a run."""
    if isinstance(line, CaseRecord):
        return line.kind, line.case
    if isinstance(line, TrainingRecord | LearnedRecord):
        return line.kind, *line.trial.key
    return line.kind, *(getattr(line, name) for name in IDENTIFYING if hasattr(line, name))


def describe(line: Record) -> str:
    """Returns a measurement in words."""
    if isinstance(line, CaseRecord):
        case = line.case
        given = "" if case.input_product else ", input projection precomputed"
        return f"{case.cell} {case.backend} {case.mode} T={case.T} B={case.B} H={case.H}{given}"
    return " ".join(map(str, identify(line)))


def find_disagreement(one: Record, other: Record) -> tuple[str, str] | None:
    """Returns how two records of one case contradict each other: different statuses, or medians whose intervals don't overlap. Returns
    None if they agree."""
    if not (isinstance(one, CaseRecord) and isinstance(other, CaseRecord)):
        return None
    if one.status != other.status:
        return one.status, other.status
    if is_timed(one) and is_timed(other):
        a, b = median_time(one), median_time(other)
        if a.high < b.low or b.high < a.low:
            return f"{a.value * 1e3:.3g} ms", f"{b.value * 1e3:.3g} ms"
    return None

"""Runs that are parts of one: dealt out without loss, merged without loss, and what doesn't fit together said."""

from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from bench.analysis.completeness import describe_unfinished
from bench.cli import app
from bench.commands.arguments import parse_shard
from bench.errors import UsageError
from bench.harness.experiment import select_shard
from bench.harness.jobs import list_work_units
from bench.harness.merge_shards import iterate_records, merge_records
from bench.harness.settings import Settings
from bench.records import FAILURES, End, JacobianRecord, Plan, Records, ScaleRecord, Spectrum, read_records, write_record
from tests.records import case, records, timed, whole


def of(found: Records, shard: str = "", **settings: object) -> Records:
    run = found.run.model_copy(update={"settings": {"cells": ["gru"], "shard": shard, **settings}})
    return found.model_copy(update={"run": run})


@given(st.integers(1, 9), st.lists(st.integers(), unique=True, max_size=30))
def test_shards_are_all_of_a_run(count, units):
    """Each unit is in one shard, and no shard has more than one unit more than another."""
    dealt = [select_shard(f"{k}/{count}", units) for k in range(1, count + 1)]
    assert sorted((unit for shard in dealt for unit in shard), key=units.index) == units == select_shard("", units)
    assert max(map(len, dealt)) - min(map(len, dealt)) <= 1


def test_a_shard_of_settings():
    known = {"batch": (2,), "hidden": (3,), "input": 3, "dtype": "float32", "precision": "ieee", "device": "cpu", "seed": 0, "quick": True}
    every = [list_work_units(Settings(("gru",), ("vendor",), (2, 3, 4), shard=shard, **known)) for shard in ("", "1/2", "2/2")]
    assert sorted(map(str, every[0])) == sorted(map(str, every[1] + every[2])) and every[1] and every[2]


def test_a_size_that_a_cell_cannot_have():
    """Its cases say why: there are no gradient norms to fail for it."""
    known = {"batch": (2,), "hidden": (6,), "input": 5, "dtype": "float32", "precision": "ieee", "device": "cpu", "seed": 0, "quick": True}
    planned = list_work_units(Settings(("gru", "slstm", "sru"), ("compiled",), (2,), **known))
    assert [job.name for job in planned if job.kind == "gradients"] == ["gradient norms of gru T=2"]
    assert {case.cell for job in planned if job.kind == "timing group" for case in job.cases} == {"gru", "slstm", "sru"}


@given(st.integers(1, 5), st.randoms(use_true_random=False))
def test_merged_shards_are_the_run(count, random):
    """Whatever is dealt out however, and in whichever order it comes back."""
    found = whole()
    place = {id(line): random.randrange(count) for line in (*found.cases, *found.gradients)}

    def dealt(k: int) -> Records:
        cases, gradients = ([line for line in lines if place[id(line)] == k] for lines in (found.cases, found.gradients))
        return of(records(*cases, gradients=tuple(gradients)), f"{k + 1}/{count}")

    parts = [(f"part {k}", dealt(k)) for k in range(count)]
    random.shuffle(parts)
    merged = merge_records(parts)
    assert sorted(line.model_dump_json() for line in merged.lines[1:]) == sorted(
        line.model_dump_json() for line in (*found.cases, *found.gradients)
    )
    assert not (merged.twice or merged.disagreements or merged.missing) and merged.lines[0].settings["shard"] == ""


def test_what_is_there_twice():
    one, slow = timed(case(), *(1 + k / 1e3 for k in range(9))), timed(case(), *(2 + k / 1e3 for k in range(9)))
    failed = timed(case()).model_copy(update={"status": "failed", "reason": "it did"})
    fast = timed(case(), *(0.5 + k / 1e3 for k in range(9)))
    said = ((one, None), (slow, "1e+03 ms in a, 2e+03 ms in b"), (fast, "1e+03 ms in a, 504 ms in b"), (failed, "ok in a, failed in b"))
    for other, words in said:
        merged = merge_records([("a", of(records(one), "1/2")), ("b", of(records(other), "2/2"))])
        assert [line for line in merged.lines[1:]] == [one]
        assert len(merged.twice) == 1 and "gru compiled training T=128" in merged.twice[0]
        assert (words is None and not merged.disagreements) or words in merged.disagreements[0]


def test_nothing_measured_is_lost():
    """Of every kind of record; also a case that failed and was measured later, in one part."""
    failed = timed(case()).model_copy(update={"status": "failed", "reason": "it did"})
    study = Path(__file__).parent.parent / "reports" / "2026-11-29-cpu-amd-epyc-thorough"
    found = read_records(study)
    scale = ScaleRecord(
        cell="gru", scaling="weak", ranks=2, T=3, B=2, D=4, H=4, exchange="gloo", threads=1, status="ok", step=[1.0], alone=[1.0]
    )  # fmt: skip
    one = records(failed, timed(case(), 1.0)).model_copy(
        update={name: getattr(found, name) for name in ("jacobians", "theory", "maps", "decays", "training", "learned")}
        | {"scale": [scale]}
    )
    for other, twice in ((records(), 0), (one.model_copy(deep=True), len(list(iterate_records(one))) - 1)):
        merged = merge_records([("a", of(one, "1/2")), ("b", of(other, "2/2"))])
        assert merged.lines[1:] == list(iterate_records(one)) and len(merged.twice) == twice and not merged.disagreements
    kinds = {line.kind for line in merged.lines}
    assert kinds >= {"case", "jacobian", "theory", "map", "training", "scale"}


def test_a_study_measured_twice():
    """Of two machines, so that the last digits differ."""
    at = {"cell": "gru", "T": 4, "D": 3, "H": 3, "dtype": "float64", "seed": 0, "init": "default", "backend": "eager", "lags": [1, 2]}
    one, other = (
        JacobianRecord(**at, state=Spectrum(mean_square=[1.0, value]), input=Spectrum(mean_square=[value])) for value in (0.5, 0.5000001)
    )
    parts = [(name, of(records()).model_copy(update={"jacobians": [found]})) for name, found in (("a", one), ("b", other))]
    merged = merge_records(parts)
    assert merged.lines[1:] == [one] and len(merged.twice) == 1


def test_what_is_missing():
    merged = merge_records([("a", of(records(), "1/4")), ("b", of(records(), "3/4"))])
    assert merged.missing == ["shard 2/4", "shard 4/4"]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        (of(records(), "2/2", cells=["lstm"]), "cells"),
        (of(records(), "2/3"), "shards of 2 and of 3"),
        (of(records(), "2/2").model_copy(update={"run": of(records(), "2/2").run.model_copy(update={"seed": 5})}), "seed"),
    ],
    ids=["settings", "shards", "seed"],
)
def test_what_is_no_part(other, words):
    with pytest.raises(UsageError, match=words):
        merge_records([("a", of(records(), "1/2")), ("b", other)])


@pytest.mark.parametrize("text", ["", "1", "0/2", "3/2", "a/b", "1/2/3", "-1/2", "1.5/2"])
def test_no_shard(text):
    with pytest.raises(UsageError, match="--shard 1/2 here"):
        parse_shard(text, "--shard")


def save(folder: Path, found: Records) -> Path:
    folder.mkdir()
    with (folder / "records.jsonl").open("wb", buffering=0) as stream:
        for line in (found.run, *found.cases, *found.gradients):
            write_record(stream, line)
    return folder


def test_at_the_command_line(tmp_path):
    """A report of all, exit code 1 where two disagree, 2 for what is no part of one run."""
    one = timed(case(), *(1 + k / 1e3 for k in range(9)))
    a, b = save(tmp_path / "a", of(records(one), "1/2")), save(tmp_path / "b", of(records(timed(case(T=16), 1, 1, 1, 1, 1)), "2/2"))
    done = CliRunner().invoke(app, ["merge", str(a), str(b), "--out", str(tmp_path / "whole")])
    assert done.exit_code == 0, done.output
    assert len(read_records(tmp_path / "whole").cases) == 2 and (tmp_path / "whole" / "report.md").exists()
    other = save(tmp_path / "c", of(records(timed(case(), *(2 + k / 1e3 for k in range(9)))), "2/2"))
    done = CliRunner().invoke(app, ["merge", str(a), str(other), "--out", str(tmp_path / "twice")])
    assert done.exit_code == 1 and "DISAGREES: gru compiled training" in done.output
    there = str(CliRunner().invoke(app, ["merge", str(a), str(b), "--out", str(a)]).exception)
    assert there.endswith("exists already: name a new folder, nothing was overwritten")  # merge has no --resume to name
    assert "two runs or more" in str(CliRunner().invoke(app, ["merge", str(a), "--out", str(tmp_path / "x")]).exception)


@pytest.mark.full
def test_measured_in_shards(tmp_path):
    """The same cases as a run of all, each with its outcome."""
    sized = ["all", "--quick", "--cells", "minimal", "--seq-lens", "2,3", "--backends", "compiled,vendor", "--device", "cpu"]
    for name, more in (("whole", []), ("one", ["--shard", "1/2"]), ("two", ["--shard", "2/2"])):
        assert CliRunner().invoke(app, [*sized, *more, "--out", str(tmp_path / name)]).exit_code == 0
    assert (
        CliRunner().invoke(app, ["merge", str(tmp_path / "one"), str(tmp_path / "two"), "--out", str(tmp_path / "merged")]).exit_code == 0
    )
    found, merged = read_records(tmp_path / "whole"), read_records(tmp_path / "merged")
    assert {c.case: c.status for c in found.cases} == {c.case: c.status for c in merged.cases}
    assert {(g.cell, g.T) for g in found.gradients} == {(g.cell, g.T) for g in merged.gradients} and len(merged.ends) == 2
    assert not [c for c in merged.cases if c.status in FAILURES]


@pytest.mark.parametrize(("ends", "shards", "says"), [
    ((1, 1), ("1/2", "2/2"), ""),
    ((1, 0), ("1/2", "2/2"), "unfinished: 2 of 2 planned cases"),
    ((1, 1), ("1/3", "2/3"), "unfinished: 2 of 2 planned cases; without shard 3/3"),
])  # fmt: skip
def test_a_merged_run_is_unfinished_where_a_shard_is(ends, shards, says, tmp_path):
    def part(T: int, ended: int, shard: str) -> Records:
        found = of(records(timed(case(T=T), 1.0)), shard)
        return found.model_copy(update={"plans": [Plan(unit="case", count=1)], "ends": [End(wall=1.0, spent={})] * ended})

    merged = merge_records([(shard, part(T, ended, shard)) for T, (ended, shard) in enumerate(zip(ends, shards, strict=True), start=1)])
    with (tmp_path / "records.jsonl").open("wb", buffering=0) as stream:
        for line in merged.lines:
            write_record(stream, line)
    assert describe_unfinished(read_records(tmp_path)) == says

"""The search for a learning rate: one rate for all seeds, and no search twice."""

import dataclasses
import json

import pytest

from bench.records.training_record import Point, Trial
from tests.single_thread import one_thread
from tests.small_trainings import EASY, runner

__all__ = ["one_thread"]


def test_a_search_takes_the_best_rate_for_all_seeds(tmp_path):
    task = dataclasses.replace(EASY, rates=(1e-9, 2e-2), steps=40, every=10)
    _, records, _ = runner(task, tmp_path, seeds=2)
    assert [r.trial.rate for r in records] == [2e-2, 2e-2] and records[0].search == records[1].search
    assert records[0].search["0.02"] < records[0].search["1e-09"]


def test_rates_that_look_alike_are_two_and_one_said_twice_is_one(tmp_path):
    task = dataclasses.replace(EASY, rates=(2.0000001e-2, 2.0000002e-2, 2.0000001e-2), steps=4, every=2)
    _, (record,), _ = runner(task, tmp_path)
    assert set(record.search) == {"0.020000001", "0.020000002"} and record.trial.rate in task.rates
    again = dataclasses.replace(EASY, rates=(1e-3, 1e-3), steps=4, every=2)
    assert runner(again, tmp_path, ("gru",))[1][0].search == {}


def test_a_search_is_by_turns_and_is_not_repeated(tmp_path, monkeypatch):
    """Killed within it, it goes on from its checkpoints; killed after it, its rates stay, whatever is found now."""
    monkeypatch.setattr("bench.studies.training.trainer.PAUSE", 0.0)
    task = dataclasses.replace(EASY, rates=(1e-3, 2e-2), steps=10, every=5)
    told = []

    class Killed(Exception):
        pass

    def tell(trial: Trial, point: Point) -> None:
        told.append((trial.cell, trial.rate, point.step))
        if len(told) == killed:
            raise Killed

    killed = 7
    with pytest.raises(Killed):
        runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert {step for *_, step in told[:4]} == {0} and not (tmp_path / "search.json").exists()
    killed = 7 + 6 + 1
    with pytest.raises(Killed):
        runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert sorted(step for *_, step in told[7:13]) == [0, 5, 10, 10, 10, 10] and told[13][2] == 0
    assert {path.name for path in tmp_path.glob("*search*")} == {"search.json"}
    found = json.loads((tmp_path / "search.json").read_text())
    assert set(found) == {"minimal H=16", "gru H=16"} and set(found["gru H=16"]) == {"0.001", "0.02"}
    found["gru H=16"] = {"0.001": 0.0, "0.02": 1.0}
    (tmp_path / "search.json").write_text(json.dumps(found))
    (tmp_path / "gru-H16-seed0.pt").unlink(missing_ok=True)  # of its first look, at the other rate
    killed = 0
    _, records, _ = runner(task, tmp_path, ("minimal", "gru"), tell=tell)
    assert {r.trial.cell: r.trial.rate for r in records}["gru"] == 1e-3 and all(r.steps == 10 for r in records)

"""A training: that it learns, that it goes on from a checkpoint to the same end, and why it ends."""

import dataclasses
import itertools
import math

import pytest
import torch

from bench.errors import UsageError
from bench.studies.training.copying import Copying
from bench.studies.training.recommend import Recommend
from bench.studies.training.trainer import Training
from tests.single_thread import one_thread
from tests.small_trainings import CPU, EASY, quiet, trial

__all__ = ["one_thread"]


CLICKS = {"users": 60, "T": 12, "vocabulary": 200, "S": 32, "B": 8, "H": 8, "every": 4}


@pytest.mark.parametrize("cell", ["minimal", "gru"])
def test_adding_is_learned(cell):
    """Ten steps, a few seconds: an answer that is always 1 has an error of 0.167."""
    record = Training(EASY, trial(EASY, cell), CPU).run(quiet)
    assert record.end == "target" and record.final < 0.02
    assert record.curve[0].value > 0.1 and record.curve[0].step == 0 and record.curve[0].loss is None
    assert record.backend == "compiled" and record.error < 5e-5
    assert [p.step for p in record.curve] == list(range(0, record.steps + 1, 50))
    assert all(a.seconds < b.seconds for a, b in itertools.pairwise(record.curve)) and record.seconds == record.curve[-1].seconds


@pytest.mark.full
def test_copying_is_learned_beyond_chance():
    task = Copying(T=2, B=32, H=32, steps=300, every=300)
    assert Training(task, trial(task, "gru"), CPU).run(quiet).final > 1.5 / 8  # 5000 symbols: one deviation of chance is 0.04 / 8


def test_the_recommender_learns_more_than_transitions():
    task = Recommend(users=150, T=12, vocabulary=40, B=32, H=32, S=64, steps=80, every=80, rates=(3e-2,))
    record = Training(task, trial(task, "gru"), CPU).run(quiet)
    assert record.final > 1.5 * max(task.baselines().values())


@pytest.mark.parametrize(
    "task", [dataclasses.replace(EASY, steps=24, every=8), Recommend(**CLICKS, steps=24, rates=(1e-2,))], ids=["adding", "recommend"]
)
@pytest.mark.parametrize("killed", [3, 17])
def test_a_training_killed_anywhere_ends_where_it_would_have(task, killed, tmp_path, monkeypatch):
    """Bit by bit: the same weights, losses and looks; seconds are those of the clock. What was done since the last look is done again."""
    monkeypatch.setattr("bench.studies.training.trainer.PAUSE", 0.0)
    whole = Training(task, trial(task), CPU)
    expected = whole.run(quiet)

    class Killed(Exception):
        pass

    first = Training(task, trial(task), CPU, tmp_path / "a.pt")
    advance = first.advance

    def counted() -> None:
        if first.step == killed:
            raise Killed
        advance()

    first.advance = counted  # type: ignore[method-assign]
    with pytest.raises(Killed):
        first.run(quiet)
    second = Training(task, trial(task), CPU, tmp_path / "a.pt")
    assert 0 <= second.step <= killed and (second.step or killed < 8)
    found = second.run(quiet)
    assert [(p.step, p.loss, p.value) for p in found.curve] == [(p.step, p.loss, p.value) for p in expected.curve]
    assert found.final == expected.final and found.clipped == expected.clipped and found.largest == expected.largest
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, second.model.state_dict()[name]), name


def test_time_that_a_process_was_stopped_is_no_training():
    """Nine steps of a tenth of a second and one that Ctrl-Z came into; a long step among long ones is one."""
    training = Training(EASY, trial(EASY), CPU)
    training.durations = [0.1] * 9 + [30.0]
    training.add_elapsed()
    assert training.seconds == pytest.approx(1.0) and training.paused == pytest.approx(29.9)
    training.durations = [0.001] * 9 + [0.9]
    training.add_elapsed()
    assert training.seconds == pytest.approx(1.909) and training.paused == pytest.approx(29.9)


def test_out_of_time_and_gone_on_with(tmp_path):
    task = dataclasses.replace(EASY, steps=20, every=10, rates=(1e-3,))
    path = tmp_path / "a.pt"
    assert Training(task, trial(task), CPU, path).run(quiet, until=0.0).end == "time"
    assert Training(task, trial(task), CPU, path).run(quiet).end == "steps"
    longer = Training(task, trial(task, steps=40), CPU, path)
    assert longer.step == 20 and longer.run(quiet).steps == 40
    with pytest.raises(UsageError, match="with cell minimal, not gru"):
        Training(task, trial(task, "gru"), CPU, path)


def test_it_stops_where_nothing_gets_better():
    task = dataclasses.replace(EASY, steps=500, every=5, patience=3, rates=(1e-9,))
    record = Training(task, trial(task), CPU).run(quiet)
    assert record.end == "stopped" and len(record.curve) < 20
    values = [p.value for p in record.curve]
    assert min(values) == values[-4]


def test_it_says_where_it_diverged():
    task = dataclasses.replace(EASY, rates=(1e30,))
    record = Training(task, trial(task), CPU).run(quiet)
    assert record.end == "diverged" and record.steps < 10
    assert math.isfinite(record.final)  # of the best look, the first
    assert record.largest == math.inf


@pytest.mark.parametrize(("clip", "shown", "clipped"), [(math.inf, "none", 0), (1e-3, 1e-3, 8)])
def test_gradients_are_clipped_as_asked(clip, shown, clipped):
    """The norm before clipping is in the curve, and its largest in the record."""
    task = dataclasses.replace(EASY, clip=clip, steps=8, every=4)
    record = Training(task, trial(task), CPU).run(quiet)
    norms = [point.norm for point in record.curve]
    assert record.clipped == clipped and record.sizes["clip"] == shown
    assert norms[0] is None and norms[1] != norms[2] and max(norms[1:]) == record.largest > 1e-3


def test_the_final_value_is_that_of_the_best_look():
    """A rate that does harm: the first look is the best, and not the last."""
    task = dataclasses.replace(EASY, every=2, patience=2)
    training = Training(task, trial(task, rate=1.0), CPU)
    record = training.run(quiet)
    values = [p.value for p in record.curve]
    assert task.measure(training.model, "valid") == min(values) < values[-1]

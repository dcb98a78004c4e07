"""Turns: everyone gets the samples the rule asks for, in a random order that a seed fixes, and a fault ends one alone."""

import pytest
import torch

from bench.measure import clock
from bench.measure.clock import Rule, Samples, interleave

CPU = torch.device("cpu")


@pytest.fixture
def fake(monkeypatch):
    """A clock that only a contestant moves: calling one costs the seconds it stands for."""
    now = [0.0]
    monkeypatch.setattr(clock.time, "perf_counter", lambda: now[0])

    def contestant(seconds: float):
        def call() -> None:
            now[0] += seconds

        return call

    return contestant


def race(contestants, rule, seed=0):
    taken, failures, order = {}, {}, []
    interleave(contestants, rule, seed, CPU, order.append, taken.__setitem__, failures.__setitem__)
    return taken, failures, order


def test_rule():
    assert not Rule(3, 5, 1.0).done(Samples([9.0, 9.0], [0, 1]))
    assert Rule(3, 5, 1.0).done(Samples([0.5, 0.3, 0.3], [0, 1, 2]))
    assert not Rule(3, 5, 1.0).done(Samples([0.1] * 4, [0] * 4))
    assert Rule(3, 5, 1.0).done(Samples([0.1] * 5, [0] * 5))


def test_slow_ones_get_the_fewest_and_fast_ones_the_most(fake):
    taken, _, _ = race({"slow": fake(1.0), "fast": fake(0.01)}, Rule(3, 8, 0.5))
    assert taken["slow"].seconds == pytest.approx([1.0] * 3)
    assert taken["fast"].seconds == pytest.approx([0.01] * 8)
    assert taken["slow"].rounds == [0, 1, 2] and taken["fast"].rounds == list(range(8))


def test_order_is_random_and_fixed_by_the_seed(fake):
    contestants = {name: fake(0.01) for name in "abcd"}
    first, again, other = (race(contestants, Rule(6, 6, 9.0), seed)[2] for seed in (1, 1, 2))
    assert first == again != other
    rounds = [tuple(first[k : k + 4]) for k in range(0, 24, 4)]
    assert all(sorted(r) == list("abcd") for r in rounds) and len(set(rounds)) > 1


def test_one_that_raises_is_out_and_the_others_go_on(fake):
    def bad() -> None:
        raise ValueError("no")

    taken, failures, _ = race({"bad": bad, "good": fake(0.1)}, Rule(3, 3, 1.0))
    assert set(taken) == {"good"} and isinstance(failures["bad"], ValueError)


def test_interrupted_it_hands_out_what_is_enough(fake):
    calls = []

    def stop() -> None:
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt

    taken: dict = {}
    with pytest.raises(KeyboardInterrupt):
        interleave({"a": fake(0.1), "stop": stop}, Rule(3, 9, 9.0), 0, CPU, lambda key: None, taken.__setitem__, lambda *_: None)
    assert len(taken["a"].seconds) >= 3

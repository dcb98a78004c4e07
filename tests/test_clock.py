"""Turns: everyone gets the samples the rule asks for, in a random order that a seed fixes, and a fault ends one alone."""

import pytest
import torch

from bench.analysis.median_ci import FEWEST
from bench.measure import clock
from bench.measure.clock import (
    LEAN,
    LONG,
    RULES,
    SHORT,
    THOROUGH,
    WARM_CALLS,
    WARM_SECONDS,
    Contestant,
    Interrupted,
    Rule,
    Samples,
    choose_rule,
    interleave,
    time_calls,
)

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
    failures, order = {}, []
    turns = {name: call if isinstance(call, Contestant) else Contestant(call) for name, call in contestants.items()}
    return interleave(turns, rule, seed, CPU, order.append, failures.__setitem__), failures, order


def samples(*seconds: float) -> Samples:
    return Samples(list(seconds), list(range(len(seconds))))


@pytest.mark.parametrize(
    ("rule", "seconds", "why"),
    [
        (Rule(3, 5, 1.0), [9.0, 9.0], ""),
        (Rule(3, 5, 1.0), [0.5, 0.3, 0.3], "time"),
        (Rule(3, 5, 1.0), [0.1] * 4, ""),
        (Rule(3, 5, 1.0), [0.1] * 5, "count"),
        (Rule(3, 50, 1.0), [0.1] * 9, ""),
    ],
)
def test_rule(rule, seconds, why):
    assert rule.find_stop_reason(samples(*seconds)) == why


def test_how_alike_samples_are_stops_nothing():
    """An interval is right only if what it is of doesn't decide when to stop."""
    rule = Rule(fewest=2, most=9, seconds=1.0)
    assert rule.find_stop_reason(samples(*[0.1] * 6)) == rule.find_stop_reason(samples(0.1, 0.2, 0.05, 0.1, 0.05, 0.1)) == ""
    assert all(found.builds >= FEWEST for found in (*RULES.values(), LEAN, THOROUGH)), "else a run has no interval"


def test_slow_ones_get_the_fewest_and_fast_ones_more(fake):
    taken, _, _ = race({"slow": fake(1.0), "fast": fake(0.02)}, Rule(3, 8, 0.5))
    assert taken["slow"].seconds == pytest.approx([1.0] * 3) and taken["slow"].stopped == "time"
    assert taken["fast"].seconds == pytest.approx([0.02] * 8) and taken["fast"].stopped == "count"
    assert taken["slow"].rounds == [0, 1, 2] and taken["fast"].rounds == [*range(1, 9)]


def test_order_is_random_and_fixed_by_the_seed(fake):
    contestants = {name: fake(0.02) for name in "abcd"}
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
        calls.append(fake(0.1)())
        if len(calls) == 6:
            raise KeyboardInterrupt

    turns = {"a": Contestant(fake(0.1)), "stop": Contestant(stop)}
    with pytest.raises(Interrupted) as cut:
        interleave(turns, Rule(3, 9, 9.0), 0, CPU, lambda key: None, lambda *_: None)
    assert isinstance(cut.value, KeyboardInterrupt) and set(cut.value.taken) <= {"a", "stop"}
    assert len(cut.value.taken["a"].seconds) >= 3 and cut.value.taken["a"].stopped == "interrupted"


def test_what_makes_a_call_ready_is_not_timed(fake):
    made = []
    taken, *_ = race({"late": Contestant(fake(0.1), lambda: made.append(fake(5.0)()))}, Rule(3, 3, 9.0))
    assert taken["late"].seconds == pytest.approx([0.1] * 3) and len(made) == 2 + 3
    assert time_calls(Contestant(fake(0.1), fake(5.0)), CPU, 4, fake(7.0)) == pytest.approx([0.1] * 4)


def test_a_burst_is_warmed_up_and_has_a_round_for_each_call():
    calls: list[int] = []
    taken = interleave({"a": Contestant(lambda: calls.append(1))}, Rule(fewest=6, most=6, burst=3), 0, CPU, lambda key: None, raise_error)
    assert taken["a"].rounds == [*range(3, 9)] and len(calls) == 3 * (1 + 3) + WARM_CALLS


def test_short_calls_are_warmed_up():
    """Once in a build, without a sample of the first; and before each call if it is tiny, or short beside a process of its own."""

    class Elsewhere(Contestant):
        elsewhere = True

    once, short = 1 + WARM_CALLS, WARM_SECONDS
    for other, seconds, extra in (
        (Contestant, 0.0, once + 4), (Contestant, short, 2), (Elsewhere, 0.0, once + 4), (Elsewhere, short, 2 + 4), (Elsewhere, SHORT, 2),
        (Elsewhere, LONG, 0),
    ):  # fmt: skip
        calls: list[int] = []
        contestants = {"a": Contestant(lambda calls=calls: calls.append(1)), "b": other(tuple)}
        timer = lambda call, device, seconds=seconds: (call(), (seconds, seconds))[1]  # noqa: E731
        taken = interleave(contestants, Rule(fewest=4, most=4), 0, CPU, lambda key: None, raise_error, timer)
        assert len(calls) == 4 + extra and len(taken["a"].seconds) == 4


def test_a_tail_needs_many_calls():
    rule = choose_rule(CPU, tail=True)
    assert rule.fewest == 100 and rule.burst > 1 and choose_rule(CPU, quick=True, tail=True).builds < rule.builds
    assert choose_rule(torch.device("cuda"), tail=True) == RULES["cuda"] and choose_rule(CPU, samples=5, tail=True).burst == 5


def raise_error(key: str, error: Exception) -> None:
    raise error

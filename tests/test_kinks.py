"""Kinks: the branches that a backend took are found, and a wrong gradient is not taken for one."""

import random

import pytest
import torch

import cells
from bench.measure import gate, kinks
from bench.measure.problem import Answer, Problem
from cells import Cell
from tests import planted_gradients
from tests.planted_gradients import CELLS

ALLOWED = 5e-5


def draw(name: str, T: int = 6, B: int = 3, H: int = 8, seed: int = 0, dtype: torch.dtype = torch.float32) -> Problem:
    cell = CELLS[name] if name in CELLS else cells.load(name)
    return Problem(name, cell, T, B, H, H, dtype, torch.device("cpu"), seed)


def rounded(answer: Answer) -> Answer:
    return Answer([o.float() for o in answer.outputs], {name: g.float() for name, g in answer.gradients.items()})


def put_on_kink(problem: Problem) -> tuple[int, int, int]:
    """Changes an argument's bias so that it lies within rounding distance of its kink, and returns its place (call, sequence, unit)."""
    calls = kinks.find_calls(problem)
    k = len(calls) - 2
    bias = next(name for name in ("b.h", "b.n") if name in problem.weights)
    for _ in range(20):
        problem.weights[bias][3] -= kinks.find_calls(problem)[k].distance[1, 3]
    return k, 1, 3


@pytest.mark.parametrize("name", ["vanilla_relu", "indrnn", "ligru", "folded"])
@pytest.mark.parametrize("where", [kinks.BEYOND, kinks.ON_IT])
def test_a_branch_within_rounding_distance_is_no_error_but_a_wrong_gradient_is(name, where):
    problem = draw(name)
    place = put_on_kink(problem)
    calls = dict(enumerate(kinks.find_calls(problem)))
    assert calls[place[0]].open[place[1], place[2]]
    other = problem.reference(kinks.KinkMode(kinks.turn_branches({}, calls, [place], where)))
    assert name != "folded" or max(gate.list_errors(other, problem.answer).values()) > 1e-3, "it matters"
    errors, wrong = gate.compare_answer(problem, rounded(other), ALLOWED)
    assert wrong == "" and max(errors.output, errors.gradient or 0) <= ALLOWED
    for key in other.gradients:
        spoiled = Answer(other.outputs, other.gradients | {key: other.gradients[key] * 1.01})
        assert f"the gradient of {key} is off" in gate.compare_answer(problem, rounded(spoiled), ALLOWED)[1]


def test_a_branch_far_from_the_kink_is_an_error():
    problem = draw("vanilla_relu")
    calls = dict(enumerate(kinks.find_calls(problem)))
    place = next((k, b, h) for k, call in calls.items() for b, h in ((call.distance > 0.05) & (call.distance < 0.2)).nonzero().tolist())
    other = problem.reference(kinks.KinkMode(kinks.turn_branches({}, calls, [place], kinks.BEYOND)))
    assert gate.compare_answer(problem, rounded(other), ALLOWED)[1]


def test_cells_with_a_kink():
    """The derivative jumps: by relu, by a larger value, by a choice."""
    assert {name for name in cells.names() if kinks.has_kink(draw(name, 1, 1, 2))} == {
        "indrnn",
        "ligru",
        "phased_lstm",
        "slstm",
        "vanilla_relu",
    }


def test_every_function_with_a_kink_is_seen():
    """By its name in the grammar; `where` has the kink of its comparison."""
    found = {f.__name__ for name in CELLS for f, _ in kinks.record_distances(draw(name), torch.float64)[0]}
    assert found == {"abs", "relu6", "hardtanh", "gt", "maximum", "minimum", "relu"}


def test_a_kink_of_a_number_or_of_a_vector():
    def step(h, x, W, p):
        return planted_gradients.relu(p.a) * W.hx(x) + planted_gradients.maximum(0.5, 0.25) * h

    problem = Problem("own", Cell(step), 4, 2, 3, 3, torch.float32, torch.device("cpu"), 0)
    assert len(kinks.find_calls(problem)) == 4 * 2
    assert gate.compare_answer(problem, rounded(problem.answer), ALLOWED)[1] == ""


def test_planted_gradients_of_random_problems():
    """A sample of what `python -m tests.planted_gradients` does with a thousand."""
    rng, said, total = random.Random(4), list[str](), planted_gradients.Counter[tuple[str, str]]()
    for _ in range(4):
        total += planted_gradients.try_problem(rng, 8, said.append)
    assert not said and total["1% of a gradient", "caught"] and total["flipped", "passed"] == 4

"""The scale of a gradient in 16 bit: 1% is told apart from rounding and from a branch at a kink, or the record says that it isn't."""

import pytest
import torch

from bench.measure import gate, gradient_scale, kinks
from bench.measure.backends import build_workload
from bench.measure.problem import Answer, Problem, make_problem
from bench.render import tables
from tests.planted_gradients import CELLS, RoundedProducts, round_answer

ALLOWED = 0.1


def draw(name: str, T: int, B: int, D: int, H: int, seed: int) -> Problem:
    return Problem(name, CELLS[name], T, B, D, H, torch.bfloat16, torch.device("cpu"), seed)


def scale(answer: Answer, name: str, factor: float) -> Answer:
    """The answer with a gradient multiplied and rounded, as a backend would give it."""
    return Answer(answer.outputs, answer.gradients | {name: (answer.gradients[name].double() * factor).bfloat16()})


@pytest.fixture(scope="module")
def chaotic() -> Problem:
    """Rounding to bfloat16 moves the scale of its gradients by 3-7%."""
    return draw("clipped", 12, 1, 16, 64, 478064)


def test_an_answer_like_the_equations_in_16_bit_is_compared_with_them(chaotic):
    right = build_workload("eager", chaotic).answer()
    assert abs(gradient_scale.find_factor(right.gradients["W.hh"], chaotic.answer.gradients["W.hh"]) - 1) > 0.03
    errors, wrong = gate.compare_answer(chaotic, right, ALLOWED)
    assert wrong == "" and errors.scale == 0.01
    for factor in (0.99, 1.01):
        assert "the gradient of W.hh is" in gate.compare_answer(chaotic, scale(right, "W.hh", factor), ALLOWED)[1]


def test_what_rounding_hides_is_said(chaotic):
    """Another rounding is no error, 1% can't be told apart from it, and what the record says can."""
    noise = gradient_scale.RoundingNoise(torch.bfloat16, torch.device("cpu"), 99)
    other = round_answer(chaotic, chaotic.reference(noise))
    told, wrong = gradient_scale.check_scales(chaotic, other, chaotic.answer)
    assert wrong == "" and told > 0.02
    assert "W.hh" in gradient_scale.check_scales(chaotic, scale(other, "W.hh", 1 + 1.1 * told), chaotic.answer)[1]


def test_the_report_says_it():
    assert next(column for column in tables.ERRORS if column.name == "scale_error").format_value(0.0142) == "1.4%"


def test_a_smooth_cell_of_a_common_size_hides_nothing():
    given = make_problem("lstm", 8, 16, 32, 64, "bfloat16", "cpu", 1)
    fused = round_answer(given, given.reference(RoundedProducts(torch.bfloat16), dtype=torch.float32))
    errors, wrong = gate.compare_answer(given, fused, ALLOWED)
    assert wrong == "" and errors.scale == 0.01
    assert "x is 0.99" in gate.compare_answer(given, scale(fused, "x", 0.99), ALLOWED)[1]


def test_a_branch_of_a_small_batch_is_no_scale():
    """Three open branches on the other side change the scale of a gradient by far more than rounding does."""
    given = draw("bounded", 3, 5, 16, 8, 483321)
    calls = dict(enumerate(kinks.find_calls(given)))
    places = [(k, b, h) for k, call in calls.items() for b, h in call.open.nonzero().tolist()]
    off = {}
    for first in range(0, len(places) - 3, 3):
        other = round_answer(given, given.reference(kinks.KinkMode(kinks.turn_branches({}, calls, places[first : first + 3], 1))))
        g = other.gradients["W.hh"]
        off[abs(gradient_scale.find_factor(g, given.answer.gradients["W.hh"]) - 1)] = other
    worst = max(off)
    assert worst > 0.02
    assert gradient_scale.check_scales(given, off[worst], given.answer)[1] == ""


def test_a_factor_and_noise():
    reference = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    noise = torch.randn(1000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert gradient_scale.find_factor(reference + 0.01 * noise, reference) == pytest.approx(1, abs=0.002)
    assert gradient_scale.find_factor(1.01 * reference + 0.01 * noise, reference) == pytest.approx(1.01, abs=0.002)
    far = reference.clone()
    far[:100] *= -5
    assert gradient_scale.find_factor(far, reference) == 1, "a few entries that are far off are no factor"
    assert gradient_scale.find_factor(torch.zeros(3), torch.zeros(3, dtype=torch.float64)) == 1

"""A small sample of `calibrate --simulate`: each kind of noise through the code that runs use."""

import pytest

from bench.harness.noise_simulation import KINDS, simulate_kinds
from bench.measure.clock import Rule

RULE = Rule(most=1, builds=9)


@pytest.fixture(scope="module")
def found():
    return {done.kind: done for done in simulate_kinds(RULE, 8, (0.001,))}


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_work_is_hardly_ever_called_faster_or_slower(found, kind):
    """A true share of 5% gives more than 4 of 24 in one of 160 samples."""
    done = found[kind]
    assert done.samples == 9 and done.found.comparisons == 24 and done.found.wrong <= 4
    if "across" not in kind:
        assert done.found.covered >= 20


def test_a_slowdown_is_found_where_noise_is_small_and_not_where_it_lasts(found):
    power = {kind: done.found.found / 24 for kind, done in found.items()}
    assert power["independent, 1%"] > 0.9 and power["a constant of each build, 1%"] > 0.9
    assert power["lasts across builds (AR 0.9 by build), 2%"] < 0.5 and power["independent, 15%"] < 0.5

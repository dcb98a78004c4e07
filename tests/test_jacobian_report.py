"""The report on Jacobians."""

import math

import pytest

from bench.render import chaos_report
from bench.render import jacobian_report as jacobians_report


def test_growth_of_a_jacobian_is_that_of_its_root_mean_square():
    found = [1.0, math.exp(-0.4), math.exp(-0.8), 0.0]
    assert jacobians_report.fit_jacobian_growth([0, 1, 2, 4], found) == pytest.approx(-0.2)
    assert jacobians_report.fit_jacobian_growth([0, 1], [1.0, 2.0]) is None
    assert jacobians_report.make_tables([]) == chaos_report.make_tables([], []) == []

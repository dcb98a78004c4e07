"""The stencil kernels compile for a GPU that isn't here, and keep everything in registers, with a whole grid and with a share of one."""

import importlib.util

import pytest

from kernels.schedules.stencil.stencil import MAX_UNITS, UNITS_PER_PROGRAM
from tests.offline import offline

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")


def test_no_spills():
    found = offline(script="offline_stencil.py")
    sizes = {kernel["H"] for kernel in found}
    assert (
        MAX_UNITS in sizes and max(sizes) > 4 * UNITS_PER_PROGRAM and {kernel["direction"] for kernel in found} == {"forward", "backward"}
    )
    for kernel in found:
        assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], kernel
        assert 0 < kernel["registers"] <= 128 and kernel["barriers"] >= 1, kernel

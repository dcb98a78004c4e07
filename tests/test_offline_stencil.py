"""The stencil kernels compile for a GPU that isn't here, and keep everything in registers, up to the largest grid they take."""

import importlib.util

import pytest

from kernels.schedules.stencil import LARGEST
from tests.test_offline import offline

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")


def test_no_spills():
    found = offline(script="offline_stencil.py")
    assert max(kernel["H"] for kernel in found) == LARGEST and {kernel["direction"] for kernel in found} == {"forward", "backward"}
    for kernel in found:
        assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], kernel
        assert 0 < kernel["registers"] <= 128 and kernel["barriers"] >= 1, kernel

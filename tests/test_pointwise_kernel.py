"""The step kernels compile for GPUs that aren't here, and keep everything in registers."""

import importlib.util

import pytest

from tests.offline import offline

pytestmark = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")


NAMES = ("gru_reset_before", "smooth")
"""Two stages, and a step of many functions; every kernel of the suites is read by `make gates`."""


@pytest.fixture(scope="module")
def resources() -> dict[str, list]:
    return offline("resources", *NAMES)


@pytest.mark.gates
@pytest.mark.parametrize("name", NAMES)
def test_no_spills(name, resources):
    """Forward and adjoint, on an A100, an H100 and a B200."""
    found = resources[name]
    assert {(k["kernel"], k["capability"]) for k in found} >= {(f, c) for f in ("step", "step_adjoint") for c in (80, 90, 100)}
    for kernel in found:
        assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], kernel
        assert 0 < kernel["registers"] <= 64 and kernel["code"] > 20, kernel


@pytest.mark.gates
def test_stages_are_kernels_too(resources):
    assert {k["kernel"] for k in resources["gru_reset_before"]} == {"step", "step_adjoint", "stage2", "stage2_adjoint"}

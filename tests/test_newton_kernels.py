"""The kernels of the schedule newton: interpreted against the form in C++, and in registers when compiled."""

import pytest
import torch

import cells
from tests.offline import offline
from tests.reference import agree, check, outputs, problem, solve
from tests.tolerances import TOLERANCE

pytest.importorskip("triton")

from kernels.schedules.newton import newton, triton_form
from kernels.schedules.newton.systems import System
from kernels.schedules.stepwise import stepwise

KINDS = ("minimal", "lstm", "gru_reset_before")
"""One state, two states, and a second stage in a step."""


@pytest.mark.parametrize(
    ("name", "chunks"),
    [("minimal", 1), ("lstm", 3), *(pytest.param(name, n, marks=pytest.mark.full) for name in (*KINDS, "sru") for n in (1, 2, 3))],
)
def test_kernels(name, chunks, monkeypatch):
    """Interpreted, with time in chunks and not: what the form in C++ finds."""
    monkeypatch.setattr(triton_form, "chunks_that_fill", lambda T, *_: chunks)
    p = problem(cells.load(name), 4, 1, 3, 3)
    expected = solve(p, "newton", torch.float32)
    monkeypatch.setattr(newton, "find_form", lambda device: triton_form)
    agree([solve(p, "newton", torch.float32)], [expected], TOLERANCE["schedule", torch.float32])


def test_kernels_stop(monkeypatch):
    """The host may read late: what it enqueues after all steps have converged changes nothing."""
    monkeypatch.setattr(newton, "find_form", lambda device: triton_form)
    monkeypatch.setattr(triton_form.Iteration, "poll", lambda self: None)
    monkeypatch.setattr(newton, "BUDGET", 6)
    systems: list[System] = []
    update = triton_form.Iteration.update
    monkeypatch.setattr(triton_form.Iteration, "update", lambda self: (systems.append(self.system), update(self))[1])
    p = problem(cells.load("minimal"), 3, 1, 2, 3)
    with torch.no_grad():
        agree([outputs(p, "newton")], [outputs(p, "eager")], TOLERANCE["schedule", torch.float32])
    assert len(systems) == 6
    iteration = triton_form.Iteration(systems[0], 1e-6, 6, False)
    iteration.counts.fill_(3)
    systems[0].values[0] += 1
    before = systems[0].trajectory[0].clone()
    iteration.check()
    iteration.update()
    assert torch.equal(systems[0].trajectory[0], before) and iteration.count_converged() == 3
    fixed = triton_form.Iteration(systems[0], 1e-6, 6, True)
    fixed.counts[1:] = 3
    fixed.check()
    fixed.update()
    assert not torch.equal(systems[0].trajectory[0], before) and fixed.count_converged() < 3


@pytest.mark.parametrize("name", ["minimal", pytest.param("lstm", marks=pytest.mark.full)])
def test_rest_by_kernels(name, monkeypatch):
    """What hasn't converged runs by the schedule that does so on a GPU."""
    monkeypatch.setattr(newton, "find_rest", lambda *_: stepwise)
    monkeypatch.setattr(newton, "BUDGET", 4)
    check([problem(cells.load(name), 7, 1, 2, 3)], "newton", torch.float32)


@pytest.mark.full
@pytest.mark.parametrize("name", ["minimal", "lstm", "gru_reset_before"])
def test_no_spills(name):
    """Every kernel of both directions, compiled for an A100, an H100 and a B200."""
    for found in offline(name, script="offline_newton.py").values():
        assert {kernel["kernel"] for kernel in found} >= {"linearised_step", "check", "update", "update_reversed", "chunk_summary"}
        for kernel in found:
            assert kernel["stack"] == kernel["local"] == 0 and not kernel["spills"], kernel

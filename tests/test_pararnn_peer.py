"""The peer pararnn: its layers have our weights, where it is installed."""

import pytest

from bench.measure import gate
from bench.measure.backends import build_workload
from bench.measure.pararnn_peer import CELLS
from bench.measure.problem import make_problem
from bench.measure.workload import Unsupported


@pytest.mark.parametrize("name", CELLS)
def test_cells(name):
    """Outputs and all gradients against float64."""
    pytest.importorskip("pararnn")
    problem = make_problem(name, 9, 2, 5, 4, "float32", "cpu", 0)
    work = build_workload("pararnn", problem)
    errors, wrong = gate.check_workload(problem, work, work.answer(), 5e-5, True)
    assert not wrong, (errors, wrong)


def test_what_it_lacks(monkeypatch):
    with pytest.raises(Unsupported, match="has no such cell"):
        build_workload("pararnn", make_problem("lstm", 3, 1, 2, 2, "float32", "cpu", 0))
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match="not installed: pip install pararnn-torch"):
        build_workload("pararnn", make_problem("paragru", 3, 1, 2, 2, "float32", "cpu", 0))

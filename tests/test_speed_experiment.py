"""The experiment of `bench all` as a context: nothing is left running if it can't be planned."""

import pytest

import cells
from bench.harness import speed_experiment
from bench.harness.settings import Settings
from bench.harness.speed_experiment import SpeedExperiment, compile_loops
from bench.harness.work_unit import WorkUnit
from kernels.derive.plan import plan
from kernels.schedules.cpu import library
from tests.records import case


def test_a_worker_is_killed_if_planning_fails(monkeypatch):
    killed = []

    class Started:
        def __init__(self, *_):
            pass

        def kill(self):
            killed.append(self)

    def fail(settings):
        raise ValueError("no plan")

    monkeypatch.setattr(speed_experiment, "Worker", Started)
    monkeypatch.setattr(speed_experiment, "list_work_units", fail)
    settings = Settings(("vanilla",), ("eager",), (2,), (1,), (1,), 1, "float32", "ieee", "cpu", 0, True)
    with pytest.raises(ValueError, match="no plan"), SpeedExperiment(settings, 60.0):
        pass
    assert len(killed) == 1


def test_loops_are_compiled_before_they_are_needed(monkeypatch):
    """The loops of the compiled backend, of gradient norms and of newton's rest are built, and newton's iteration, each once; what fails
    is left to its case."""
    asked, plans = [], []

    def build(made, dtype):
        asked.append(made.cell.name)
        plans.append(made)
        raise RuntimeError("no loop")

    for name in ("loop", "iteration"):
        monkeypatch.setitem(speed_experiment.BUILDERS, name, build)
    monkeypatch.setattr(library, "build_products", lambda dtype: None)
    timed = WorkUnit("timing group", "", (case("lstm", "compiled"), case("lstm", "compiled", "inference"), case("gru", "vendor")))
    compile_loops([timed, WorkUnit("gradients", "", (case("cfn", "eager"),)), WorkUnit("machine", "")])
    assert sorted(asked) == ["cfn", "lstm"]
    compile_loops([WorkUnit("timing group", "", (case("minimal", "newton"), case("minimal", "newton-low", "inference")))])
    assert asked[2:] == ["minimal"] * 2
    compile_loops(
        [WorkUnit("timing group", "", (case("minimal", "compiled", B=8, H=256), case("minimal", "compiled", "inference", B=8, H=256)))]
    )
    assert {*plans[4:]} == {plan(cells.load("minimal")), plan(cells.load("minimal"), fuse_inputs=True)} and len(plans) == 6

    def fail(dtype):
        raise RuntimeError("no products")

    monkeypatch.setattr(library, "build_products", fail)
    compile_loops([timed])
    assert len(asked) == 6

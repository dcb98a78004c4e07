"""The experiment of `bench all` as a context: nothing is left running if it can't be planned."""

import pytest

from bench.harness import speed_experiment
from bench.harness.settings import Settings
from bench.harness.speed_experiment import SpeedExperiment


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

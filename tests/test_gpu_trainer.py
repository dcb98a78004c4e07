"""Training on a GPU: what the tests of training show on a processor, shown on the device."""

import pytest
import torch

from bench.records.training_record import Point, Trial
from bench.studies.training import unit_analysis
from bench.studies.training.adding import Adding
from bench.studies.training.recommend import Recommend
from bench.studies.training.trainer import Training

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device, and torch finds none here"),
]
CUDA = torch.device("cuda")


def quiet(trial: Trial, point: Point) -> None:
    pass


@pytest.mark.parametrize("cell", ["minimal", "gru"])
def test_adding_is_learned(cell):
    task = Adding(T=10, B=32, H=16, steps=400, every=50, rates=(2e-2,))
    record = Training(task, Trial(task=task.name, cell=cell, H=16, seed=0, rate=2e-2, steps=400), CUDA).run(quiet)
    assert record.end == "target" and record.final < 0.02 and record.backend in ("stepwise", "persistent")


def test_the_recommender_trains_goes_on_and_is_looked_into(tmp_path):
    task = Recommend(users=150, T=12, vocabulary=60, B=32, H=32, S=64, steps=80, every=40, rates=(2e-2,))
    trial = Trial(task=task.name, cell="minimal", H=32, seed=0, rate=2e-2, steps=80)
    assert Training(task, trial, CUDA, tmp_path / "a.pt").run(quiet, until=0.0).end == "time"
    training = Training(task, trial, CUDA, tmp_path / "a.pt")
    assert training.run(quiet).final > 1.5 * task.baselines()["most popular"]
    found = unit_analysis.analyze_units(task, training.model, trial)
    assert found.own + found.neighbours + found.input == pytest.approx(1) and found.noise["none"] > found.noise["states 1"]

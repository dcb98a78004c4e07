"""Vowels told by waves: what is made up sounds like vowels, the map of speeds is all that is learned, and it learns."""

import numpy as np
import pytest
import torch
from scipy.signal import welch

from bench.cli import app
from bench.errors import UsageError
from bench.records.training_record import LearnedRecord, Plane, Trial
from bench.render import training_plots
from bench.studies.training import load_task, unit_analysis
from bench.studies.training.layer_check import check_layer
from bench.studies.training.synthetic_vowels import FORMANTS, RATE, synthesize_vowel
from bench.studies.training.trainer import Training
from bench.studies.training.training_plan import TrainingPlan, count_recurrent_parameters
from bench.studies.training.vowels import VOWELS, Probes, load_vowels

SMALL = {"T": 150, "H": 144, "B": 12, "steps": 60, "every": 60, "rates": (0.3,)}


@pytest.mark.parametrize("name", VOWELS)
def test_a_vowel_has_its_resonances(name):
    """Of many voices the mean spectrum peaks around the first formant or the pitch below it, and is higher around the second formant
    than between the two."""
    sounds = np.stack([synthesize_vowel(name, 2000, np.random.default_rng(n)) for n in range(60)])
    assert np.allclose((sounds**2).mean(1), 1)
    frequencies, power = welch(sounds, RATE, nperseg=256)
    mean = np.log(power).mean(0)
    first, second, _ = FORMANTS[name]
    peak = frequencies[mean.argmax()]
    assert 0.5 * first < peak < 1.4 * first

    def level(low: float, high: float) -> float:
        return mean[(frequencies > low) & (frequencies < high)].mean()

    assert level(0.95 * second, 1.1 * second) > level(first + 0.4 * (second - first), first + 0.7 * (second - first))


def test_the_data_are_the_same_for_all():
    x, y = load_vowels("valid", 50)
    assert x.shape == (50, 150, 1) and torch.bincount(y).tolist() == [50, 50, 50]
    assert torch.equal(load_task("vowels", T=50).batch(3, 4)[0], load_task("vowels", T=50).batch(3, 4)[0])
    assert not torch.equal(load_vowels("train", 50)[0][:, :150], x)


def test_only_the_speeds_are_learned():
    model = Probes("wave", 144)
    source = model.rnn.weights()["W.source"].view(12, 12)
    assert [name for name, p in model.named_parameters() if p.requires_grad] == ["rnn.weight_c_l0"]
    assert source.sum() == 1 and source[model.source] == 1
    assert model.units == [row * 12 + column for row, column in model.probes]
    assert not model.rnn.weights()["p.b"].view(12, 12)[2:-2, 2:-2].any()
    backend, error = check_layer(model.rnn, load_vowels("valid", 50)[0])
    assert backend == "compiled" and error < 1e-5


def test_shares():
    """They are of the intensities at the probes, and add up to 1, in silence too."""
    model = Probes("wave", 144)
    x = load_vowels("valid", 60)[0][:, :4]
    y, _ = model.rnn(x)
    seen = y[..., model.units].square().sum(0)
    assert torch.allclose(model(x).exp(), seen / seen.sum(1, keepdim=True))
    assert torch.allclose(model(x).exp().sum(1), torch.ones(4))
    silent = model(torch.zeros(5, 2, 1))
    silent.softmax(1)[:, 0].sum().backward()
    assert torch.allclose(silent.softmax(1), torch.full((2, 3), 1 / 3)) and model.rnn.weights()["p.c"].grad.isfinite().all()


@pytest.mark.parametrize("sizes", [["--hidden", "1"], ["--hidden", "7"], ["--hidden", "10"], ["--hidden", "2", "--equal", "parameters"]])
def test_a_grid_without_room_is_told_before_a_folder_is_made(sizes, tmp_path):
    with pytest.raises(UsageError, match="3×6 at least"):
        app(["train", "vowels", *sizes, "--device", "cpu", "--out", str(tmp_path / "out")], standalone_mode=False)
    assert not (tmp_path / "out").exists() and len(set(Probes("wave", 18).units)) == 3


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        (["--hidden", "1000000"], "1,000,000 units of wave over 300 steps of 300 voices are 335 GiB"),
        (["--equal", "both", "--hidden", "20000", "--cells", "gru,wave", "--seq-lens", "2000"], "20,000 units of gru over 2000 steps"),
    ],
)
def test_a_grid_beyond_memory_is_told_before_a_folder_is_made(asked, told, tmp_path):
    with pytest.raises(UsageError, match=rf"{told}.*: take a smaller --hidden"):
        app(["train", "vowels", *asked, "--device", "cpu", "--out", str(tmp_path / "out")], standalone_mode=False)
    assert not (tmp_path / "out").exists() and not load_task("vowels").unfit("wave", 4096)


def test_others_have_as_many_parameters_as_the_wave_has_speeds():
    """1,024 of them, which are trained: a GRU of 16 or 17 units, whose every parameter is."""
    found = {trial.cell: trial.H for _, trial in TrainingPlan(load_task("vowels"), ("wave", "gru", "lstm"), 1, ("parameters",)).trials()}
    assert found["wave"] == 1024
    assert all(abs(count_recurrent_parameters(cell, 1, found[cell]) - 1024) < 60 for cell in ("gru", "lstm"))


def test_it_learns(tmp_path):
    """On a tiny grid and in two seconds far better than chance; and what it has learned is drawn."""
    task = load_task("vowels", **SMALL)
    ((_, trial),) = TrainingPlan(task, ("wave",), 1).trials()
    training = Training(task, trial, torch.device("cpu"))
    record = training.run(lambda *_: None)
    assert record.final > 0.6 and record.recurrent == 144 and record.baselines == {}
    field = task.field(training.model)
    speeds = torch.tensor(field.values)
    assert speeds.shape == (12, 12) and 0.5 <= speeds.min() < speeds.max() <= 1
    assert set(field.points) == {"source", *VOWELS} and task.baselines() == {"best constant answer": pytest.approx(1 / 3, abs=0.05)}
    seen = LearnedRecord(trial=trial, own=0.5, neighbours=0.5, input=0, gates=[], trajectories=[[0.0]], noise={"none": 1.0}, field=field)
    assert training_plots.draw_field(seen, tmp_path / "field.svg").read_text().count("wave speed") >= 1


def test_what_a_trained_layer_does():
    """A wide layer is looked at where there is room; the sigmoid of its speeds stands still."""
    task = load_task("vowels", **(SMALL | {"T": 30}))
    trial = Trial(task="vowels", cell="wave", H=144, seed=0, rate=0.1, steps=1)
    found = unit_analysis.analyze_units(task, task.model("wave", 144), trial)
    assert len(found.gates) == 1 and found.own + found.neighbours + found.input == pytest.approx(1) and isinstance(found.field, Plane)


def test_a_cell_without_a_grid():
    task = load_task("vowels", **SMALL)
    model = task.model("gru", 8)
    assert model(load_vowels("valid", 150)[0]).shape == (150, 3) and task.field(model) is None

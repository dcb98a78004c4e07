"""Layers from a checkpoint in the studies of signals: which weights are read, and what is refused."""

import re
from pathlib import Path

import pytest
import torch

import cells
from bench.errors import UsageError
from bench.measure.problem import Problem, make_problem
from bench.records import read_records
from bench.studies.signals import chaos, gradient_norms, jacobians, signal_plan, trained_layer
from kernels import RNN
from kernels.derive.plan import plan as planned
from tests.command_line import stdout


def saved(path: Path, cell: str = "cfn") -> RNN:
    """A layer of D=3 and H=4 with a state dict of its own."""
    torch.manual_seed(5)
    rnn = RNN(cell, 3, 4)
    torch.save(rnn.state_dict(), path)
    return rnn


def test_gradients_of_a_trained_layer(tmp_path):
    """Its own weights, and not those of an initialisation, alone or in a model; D and H are its own."""
    rnn = saved(tmp_path / "alone.pt")
    within = {"step": 7, "model": torch.nn.ModuleDict({"rnn": rnn}).state_dict(), "optimisers": [{"state": {0: torch.ones(4)}}]}
    torch.save(within, tmp_path / "within.pt")
    for name in ("alone", "within"):
        stdout("gradients", "--cells", "cfn", "--checkpoint", tmp_path / f"{name}.pt", "--seq-lens", 6, "--seeds", 1, "--batch", 2,
               "--dtype", "float64", "--out", tmp_path / name)  # fmt: skip
        record = read_records(tmp_path / name).gradients[0]
        assert (record.D, record.H) == (3, 4) and record.init.startswith(f"{name}.pt ")
        assert record.by_lag == pytest.approx(gradient_norms.measure_gradients(trained(rnn, 6, 2)).by_lag, rel=1e-12)


def test_a_model_of_two_layers(tmp_path):
    """Values of one are not mixed with those of another, and which of two is meant is not guessed."""
    two = torch.nn.ModuleDict({"first": RNN("minimal", 3, 4), "second": RNN("cfn", 3, 4), "third": RNN("minimal", 3, 4)})
    torch.save(two.state_dict(), tmp_path / "two.pt")
    found = trained_layer.read_weights(tmp_path / "two.pt", "cfn")
    assert all(torch.equal(found[name], value) for name, value in two["second"].weights().items())
    with pytest.raises(UsageError, match=r"two\.pt holds first and third: save the state dict of one minimal"):
        trained_layer.read_weights(tmp_path / "two.pt", "minimal")


def trained(rnn: RNN, T: int, B: int) -> Problem:
    made = make_problem(rnn.cell.name, T, B, rnn.input_size, rnn.hidden_size, "float64", "cpu", 0)
    for key, value in made.weights.items():
        value.copy_(rnn.weights()[key])
    return made


@pytest.mark.parametrize("cell", ["minimal_deep", "lstm"])
def test_jacobians_of_a_trained_layer(tmp_path, cell):
    rnn = saved(tmp_path / "model.pt", cell)
    stdout("jacobian", "--cells", cell, "--checkpoint", tmp_path / "model.pt", "--seq-lens", 5, "--seeds", 1, "--out", tmp_path / "run")
    found, expected = read_records(tmp_path / "run").jacobians[0], jacobians.measure_jacobians(trained(rnn, 5, 1))
    assert (found.D, found.H) == (3, 4) and found.init.startswith("model.pt ") and found.state == expected.state
    assert found.latent == expected.latent and (found.latent is None) == (cell == "lstm")


def test_a_trained_layer_without_input(tmp_path):
    rnn = saved(tmp_path / "model.pt", "gru").double()
    arguments = "--cells", "gru", "--checkpoint", tmp_path / "model.pt", "--seq-lens", 40
    printed = stdout("chaos", *arguments, "--out", tmp_path / "run")
    found = read_records(tmp_path / "run")
    assert found.decays == [chaos.measure_autonomous(rnn, found.decays[0].init, 40, signal_plan.TRAJECTORIES, 0)] and not found.maps
    assert found.decays[0].norm[-1] != chaos.measure_decay(rnn.cell, "default", 40, signal_plan.TRAJECTORIES, 4, 0).norm[-1]
    assert re.search("gru +model.pt", printed) and "silence.svg" in (tmp_path / "run" / "report.md").read_text()
    rnn.bias_ih_l0.data += 1
    torch.save(rnn.state_dict(), tmp_path / "model.pt")
    with pytest.raises(UsageError, match=r"measured with checkpoint model\.pt"):
        stdout("chaos", *arguments, "--out", tmp_path / "run", "--resume")


@pytest.mark.parametrize("cell", cells.names())
def test_sizes_of_every_cell_are_read_in_its_weights(cell):
    H = planned(cells.load(cell)).round_up_width(5)
    D = H if planned(cells.load(cell)).elementwise_input else 3
    weights = RNN(cell, D, H).weights()
    assert trained_layer.find_sizes(cell, weights, Path("a.pt")) == (D, H)
    some = next(name for name in weights if name.startswith("W."))
    with pytest.raises(UsageError, match="shapes are not those"):
        trained_layer.find_sizes(cell, weights | {some: torch.zeros(7, 11)}, Path("a.pt"))


@pytest.mark.parametrize(("content", "said"), [(b"", "EOFError"), (b"hello", "can't be read")])
def test_what_is_no_checkpoint_is_refused(tmp_path, content, said):
    (tmp_path / "a.pt").write_bytes(content)
    with pytest.raises(UsageError, match=said):
        stdout("chaos", "--cells", "gru", "--checkpoint", tmp_path / "a.pt", "--out", tmp_path / "run")


@pytest.mark.parametrize("cell", ["qrnn", "fastgrnn", "slstm", "mingru", "minimal_deep"])
def test_a_trained_layer_of_any_cell(cell, tmp_path):
    """Whatever its matrices are called, blocks and scalars among them."""
    torch.save(RNN(cell, 3, 8).state_dict(), tmp_path / "saved.pt")
    stdout("gradients", "--cells", cell, "--checkpoint", tmp_path / "saved.pt", "--seq-lens", 6, "--seeds", 1, "--batch", 2,
           "--dtype", "float64", "--out", tmp_path / "run")  # fmt: skip
    record = read_records(tmp_path / "run").gradients[0]
    assert (record.D, record.H) == (3, 8) and not record.non_finite


def test_another_cells_checkpoint_is_refused(tmp_path):
    torch.save(RNN("gru", 2, 3).state_dict(), tmp_path / "gru.pt")
    for cell, said in (
        ("lstm", "whose shapes are not those of a lstm"),
        ("vanilla", "not those"),
        ("cfn", "no .*weight_theta_h.*: is it a cfn"),
    ):
        with pytest.raises(UsageError, match=said):
            stdout("gradients", "--cells", cell, "--checkpoint", tmp_path / "gru.pt", "--out", tmp_path / "run")

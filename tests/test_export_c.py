"""`bench export`: a layer's weights, from a state dict or fresh, are those in the C that it writes; bad input is one line."""

import pytest
import torch
from torch import nn

from kernels import RNN
from tests.command_line import bench

__all__ = ["bench"]

SIZES = ("--input", "3", "--hidden", "4")


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.GRU(3, 4, num_layers=2, dtype=torch.float64)
        self.out = nn.Linear(4, 2)


def read(folder, name):
    return (folder / f"{name}.c").read_text()


def test_weights_of_a_model(bench, tmp_path):
    """The layer in it, in the file's own dtype."""
    model = Model()
    torch.save({"model": model.state_dict(), "step": 3}, tmp_path / "model.pt")
    given = ("--layers", 2, "--weights", tmp_path / "model.pt", "--name", "a")
    code, out, err = bench("export", "--cell", "gru", *SIZES, *given, "--out", tmp_path)
    assert code == 0, err
    assert out.splitlines() == [str(tmp_path / file) for file in ("a.c", "a.h", "a_main.c")]
    layer = RNN("gru", 3, 4, 2, dtype=torch.float64)
    layer.load_state_dict(model.rnn.state_dict())
    layer.export_c(tmp_path / "same", "a", "the file model.pt")
    assert read(tmp_path, "a") == read(tmp_path / "same", "a") and "double" in read(tmp_path, "a")


def test_fresh_weights(bench, tmp_path):
    """The weights are drawn from a seed, and the first comment says so."""
    for name, options in (("a", ()), ("b", ("--seed", 7)), ("c", ("--seed", 7, "--dtype", "float64", "--no-bias"))):
        code, _, err = bench("export", "--cell", "minimal", *SIZES, *options, "--out", tmp_path / name)
        assert code == 0, err
    a, b, c = (read(tmp_path / name, "minimal") for name in "abc")
    assert "a fresh layer of seed 0: nothing is trained" in a and "a fresh layer of seed 7" in b
    torch.manual_seed(7)
    RNN("minimal", 3, 4).export_c(tmp_path / "d", origin="a fresh layer of seed 7: nothing is trained")
    assert b == read(tmp_path / "d", "minimal") != a
    assert "double" in c and "minimal_b_u_l0" not in c and "minimal_b_u_l0" in b


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "Missing option '--out'"),
        (("--out", "new", "--cell", "gruu"), "did you mean gru?"),
        (("--out", "new", "--cell", "slstm", "--hidden", 7), "take --hidden 8, not 7"),
        (("--out", "new", "--cell", "sru"), "x unit by unit"),
        (("--out", "new", "--name", "3d"), "begins with a letter"),
        (("--out", "new", "--dtype", "float16"), "no dtype is called 'float16'"),
        (("--out", "new", "--hidden", 0), "--hidden must be at least 1"),
        (("--out", "new", "--weights", "none.pt"), "none.pt can't be read"),
        (("--out", "new", "--weights", "two.pt"), "holds a and b: save the state dict of one layer"),
        (("--out", "new", "--weights", "model.pt"), "weight_ih_l1"),
        (("--out", "new", "--weights", "model.pt", "--layers", 2, "--hidden", 5), "doesn't fit --input 3 --hidden 5"),
        (("--out", "new", "--weights", "model.pt", "--cell", "minimal"), "has no weight_z_l0: is it a minimal"),
        (("--out", "model.pt"), "can't be written"),
    ],
)
def test_bad_input_is_one_line(bench, tmp_path, monkeypatch, options, says):
    monkeypatch.chdir(tmp_path)
    torch.save(Model().state_dict(), "model.pt")
    torch.save({f"{name}.{key}": value for name in "ab" for key, value in RNN("gru", 3, 4).state_dict().items()}, "two.pt")
    given = dict(zip(("--cell", *SIZES[::2]), ("gru", *SIZES[1::2]), strict=True)) | dict(zip(options[::2], options[1::2], strict=True))
    code, out, err = bench("export", *(word for pair in given.items() for word in pair))
    assert (code, out) == (2, "") and says in err and err.startswith("bench: ") and err.count("\n") == 1
    assert not (tmp_path / "new").exists()

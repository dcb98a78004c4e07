"""The options of a layer: what nn.RNN takes, and what is wrong with others."""

import pytest
from torch import nn

from kernels import RNN


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_nonlinearity(nonlinearity):
    wanted = nn.RNN(3, 4, nonlinearity=nonlinearity)
    assert RNN("vanilla", 3, 4, nonlinearity=nonlinearity).cell.torch_equivalent.options["nonlinearity"] == wanted.nonlinearity
    assert RNN("vanilla_relu", 3, 4).cell.name == "vanilla_relu"


@pytest.mark.parametrize(
    ("cell", "nonlinearity", "says"),
    [("vanilla", "gelu", "is 'tanh' or 'relu', not 'gelu': write another"), ("lstm", "tanh", "is for the cell 'vanilla'")],
)
def test_no_such_nonlinearity(cell, nonlinearity, says):
    with pytest.raises(ValueError, match=says):
        RNN(cell, 3, 4, nonlinearity=nonlinearity)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ((3, 4, 1, "relu"), "bias should be of type bool, got: str: nn.RNN's nonlinearity is given by name here, nonlinearity='relu'"),
        ((3, 4, 1, 0), "bias should be of type bool, got: int"),
        ((3, 4, 1, True, []), "batch_first should be of type bool, got: list"),
        ((3, 4, 1, True, True, 0.0, 1), "bidirectional should be of type bool, got: int"),
        ((3, True), "hidden_size should be of type int, got: bool"),
    ],
)
def test_arguments_of_another_type(given, says):
    """nn.RNN's fourth argument is its nonlinearity, which would be read as a bias that is True."""
    with pytest.raises(TypeError) as raised:
        RNN("vanilla", *given)
    assert str(raised.value) == says


@pytest.mark.parametrize("dropout", ["0.5", None, True, -0.1])
def test_no_such_dropout(dropout):
    with pytest.raises(ValueError, match="dropout should be a number in range"):
        RNN("vanilla", 3, 4, 2, dropout=dropout)

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

"""The plan without values in front of its loop: what comes out is that of the equations, whichever plan a call takes."""

import copy

import pytest
import torch
from torch import nn

import cells
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer import input_products
from tests import custom
from tests.reference import check, error, given_cell
from tests.tolerances import TOLERANCE

CELLS = {name: custom.CELLS.get(name) or cells.load(name) for name in (*cells.names(), *custom.CELLS)}
CHAINED = [name for name, cell in CELLS.items() if plan(cell) is not plan(cell, fuse_inputs=True)]
SIZES = [(1, 1, 3, 20), (21, 5, 7, 33), (40, 1, 5, 16)]


@pytest.fixture
def taken(monkeypatch):
    """A list that gets True for each call that takes the fused plan."""
    found, apply = [], input_products.apply
    monkeypatch.setattr(input_products, "apply", lambda made, *given, **options: (
        found.append(made is not plan(made.cell, made.bias)), apply(made, *given, **options))[1])  # fmt: skip
    return found


def test_what_it_moves():
    """All but the input and its products; nothing where there is nothing to move, nor what is as wide as the input, and no time."""
    assert {"minimal", "minimal_deep", "cfn", "star", "mut1", "lru_complex"} <= {*CHAINED} and not {"lstm", "gru", "mingru", "wave"} & {
        *CHAINED
    }
    for name in CHAINED:
        left = plan(CELLS[name], fuse_inputs=True).chained_inputs
        assert not left or name in ("phased_lstm", *custom.CELLS), name
    made = plan(CELLS["minimal_deep"], fuse_inputs=True)
    assert [t.matrix for t in made.terms] == ["z", "uh", "uz", ""] and len(made.stages) == 2


@pytest.mark.parametrize("name", CHAINED)
def test_outputs(name, taken):
    """Without gradients, in the general way and prepared, from a cell's own states and given ones."""
    for (T, B, D, H), dtype in ((size, dtype) for size in SIZES for dtype in (torch.float32, torch.bfloat16)):
        torch.manual_seed(T)
        cell = CELLS[name]
        D, H = (H, H) if plan(cell).elementwise_input else (D, plan(cell).round_up_width(H))
        layer, reference = RNN(cell, D, H, dtype=dtype, backend="compiled"), RNN(cell, D, H, backend="eager").double()
        reference.load_state_dict(layer.state_dict())
        x = torch.randn(T, B, D).to(dtype)
        with torch.no_grad():
            first, expected = layer(x)[0], reference(x.double())[0]
            again = [layer(x)[0] for _ in range(3)]
            assert all(error(y, expected) <= TOLERANCE["schedule", dtype] for y in (first, *again)), (T, B, H, dtype)
            assert dtype == torch.bfloat16 or all(torch.equal(y, first) for y in again)
        layer(x)
        assert taken[-1], "with gradients too"


@pytest.mark.parametrize("name", ["minimal", "minimal_deep", "mut1"])
def test_gradients(name, monkeypatch):
    """It is a plan like any other: its loop has a backward pass."""
    given = given_cell(name, 9, 3, 5, 20)
    monkeypatch.setattr("tests.reference.plan", lambda cell, bias=True: plan(cell, bias, True))
    for backend in ("compiled", "stepwise"):
        check([given], backend, torch.float32)


def test_sizes(taken):
    """The rule: few steps, few units, or enough sequences, more with gradients; any size for a cell that multiplies nothing else."""
    for trains in (False, True):
        for name, T, B, H in (
            ("minimal", 16, 1, 136),
            ("minimal", 17, 1, 136),
            ("minimal", 17, 1, 128),
            ("minimal", 17, 4, 136),
            ("minimal", 17, 32, 136),
            ("cfn", 17, 1, 136),
        ):
            RNN(name, 4, H).requires_grad_(trains)(torch.randn(T, B, 4))
    assert taken == [True, False, True, True, True, True, True, False, True, False, True, True]
    RNN("minimal", 4, 8, memory="low")(torch.randn(2, 1, 4))
    assert len(taken) == 12, "by chunks of the plan as it is"


def test_layers_directions_and_lengths(taken):
    """Each as one call of its own, padded and packed too."""
    layer, x, lengths = RNN("minimal", 5, 9, num_layers=2, bidirectional=True), torch.randn(6, 3, 5), torch.tensor([2, 6, 4])
    reference = RNN("minimal", 5, 9, num_layers=2, bidirectional=True, backend="eager").double()
    reference.load_state_dict(layer.state_dict())
    with torch.no_grad():
        packed = nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
        assert error(layer(x)[0], reference(x.double())[0]) <= 1e-5 and taken == [True] * 4
        assert error(layer(packed)[0].data, reference(packed.double())[0].data) <= 1e-5
        reset = torch.rand(6, 3) < 0.4
        assert error(layer(x, reset=reset)[0], reference(x.double(), reset=reset)[0]) <= 1e-5


def write(layer, how):
    """Changes the weights in a way that torch counts, or doesn't."""
    values = [p.detach() * 0.5 for p in layer.parameters()]
    if how == "fused optimizer":
        layer(torch.randn(2, 1, 5))[0].sum().backward()
        torch.optim.Adam(layer.parameters(), lr=0.1, fused=True).step()
    else:
        for p, value in zip(layer.parameters(), values, strict=True):
            (p.data if how == "data" else p.detach()).copy_(value)


@pytest.mark.parametrize("how", ["data", "copy_", "fused optimizer"])
def test_no_plan_keeps_former_weights(how):
    """A layer is used for training and for both sizes of inference: each packs its matrices for itself, and all of them anew."""
    torch.manual_seed(0)
    layer = RNN("minimal", 5, 136)
    few, many = torch.randn(2, 1, 5), torch.randn(20, 1, 5)
    for _ in range(2):
        write(layer, how)
        reference = RNN("minimal", 5, 136, backend="eager")
        reference.load_state_dict(copy.deepcopy(layer.state_dict()))
        for x in (many, few, many, few):
            with torch.no_grad():
                assert error(layer(x)[0], reference(x)[0]) <= 1e-5
        assert error(layer(few)[0], reference(few)[0]) <= 1e-5


@torch.no_grad()
def test_quantized():
    layer = RNN("minimal_deep", 5, 40).quantize()
    reference = RNN("minimal_deep", 5, 40, backend="eager").double()
    reference.load_state_dict(layer.state_dict())
    x = torch.randn(7, 3, 5)
    assert error(layer(x)[0], reference(x.double())[0]) <= 2e-2


@torch.no_grad()
def test_autocast():
    """All matrices in autocast's dtype, also the one of a value of the input."""
    layer, x = RNN("minimal", 5, 40), torch.randn(7, 3, 5)
    full = layer(x)[0]
    with torch.autocast("cpu", torch.bfloat16):
        first, again = layer(x)[0], layer(x)[0]
    assert torch.equal(first, again) and 0 < error(first, full) <= TOLERANCE["schedule", torch.bfloat16]


def test_threads_that_share_units():
    """With and without gradients, padded and packed: a stage of the input's values is a meeting more."""
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        for name, B in (("minimal", 1), ("minimal_deep", 2)):
            layer, x = RNN(name, 40, 100, backend="compiled"), torch.randn(9, B, 40)
            reference = RNN(name, 40, 100, backend="eager").double()
            reference.load_state_dict(layer.state_dict())
            packed = nn.utils.rnn.pack_padded_sequence(x, torch.tensor([9, 4][:B]))
            for given, exact in ((x, x.double()), (packed, packed.double())):
                for rnn, rows in ((layer, given), (reference, exact)):
                    rnn.zero_grad()
                    y = rnn(rows)[0]
                    (y if isinstance(y, torch.Tensor) else y.data).square().sum().backward()
                for found, expected in zip(layer.parameters(), reference.parameters(), strict=True):
                    assert error(found.grad, expected.grad) <= 1e-5
            with torch.no_grad():
                assert error(layer(x)[0], reference(x.double())[0]) <= 1e-5
    finally:
        torch.set_num_threads(before)

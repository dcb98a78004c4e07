"""`RNN` in the place of nn.LSTM, nn.GRU and nn.RNN: every option of theirs, with the same weights, outputs, states and gradients."""

import copy
import io
import pickle

import pytest
import torch

from kernels import RNN, from_torch
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import KINDS, LENGTHS, PAIRS, alike, describe, flat, results

T, B, D, H = 7, 5, 10, 12


@pytest.mark.parametrize(("kind", "options"), PAIRS, ids=describe)
def test_torch_nn(kind, options):
    """Rectangular, packed in both orders, and padded with lengths; with initial states and without."""
    theirs = KINDS[kind](D, H, **options).double()
    ours = from_torch(theirs)
    x = torch.randn(*((B, T) if theirs.batch_first else (T, B)), D, dtype=torch.float64)
    count = ours.num_layers * ours.directions
    states = tuple(torch.randn(count, B, H, dtype=torch.float64, requires_grad=True) for _ in ours.cell.states)
    hx = states if len(states) > 1 else states[0]
    for rest in ((), (hx,)):
        alike(results(ours, x, *rest), results(theirs, x, *rest))
        for lengths in (LENGTHS["falling"], LENGTHS["any order"]):
            alike(results(ours, x, *rest, pack=lengths), results(theirs, x, *rest, pack=lengths))


@pytest.mark.parametrize("kind", KINDS)
def test_torch_nn_in_single_precision(kind):
    theirs = KINDS[kind](D, H, num_layers=2, bidirectional=True)
    x = torch.randn(T, B, D)
    for lengths in (None, LENGTHS["any order"]):
        alike(results(from_torch(theirs), x, pack=lengths), results(theirs, x, pack=lengths))


def test_no_numbers():
    """On torch's meta device a layer says its shapes."""
    y, (h, c) = RNN("lstm", D, H, device="meta", backend="eager")(torch.empty(T, B, D, device="meta"))
    assert y.shape == (T, B, H) and h.shape == c.shape == (1, B, H)


def test_autocast_hands_on_states():
    """What a layer under autocast made, in 16 bit, is taken as initial states and as the input before, as nn.LSTM takes it."""
    rnn, x, h = RNN("qrnn", D, H), torch.randn(T, B, D), torch.randn(1, B, H).bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = flat(rnn(x, (h, h), before=x[0].bfloat16()))
    right = flat(rnn(x, (h.float(), h.float()), before=x[0].bfloat16().float()))
    assert all(map(torch.equal, found, right))


def test_a_step_at_a_time():
    """Carried states: calls of one step each are one call of all."""
    rnn, x = RNN("lstm", D, H, num_layers=2), torch.randn(T, B, D)
    whole, states, hx = rnn(x)[0], [], None
    with torch.no_grad():
        for t in range(T):
            y, hx = rnn(x[t : t + 1], hx)
            states.append(y)
    assert error(torch.cat(states), whole) <= TOLERANCE["two ways", torch.float32]


def test_the_same_twice():
    """Bit by bit, under torch's deterministic mode too."""
    rnn, x = RNN("gru", D, H, num_layers=2, bidirectional=True), torch.randn(50, 9, D)
    once = results(rnn, x)
    torch.use_deterministic_algorithms(True)
    try:
        again = results(rnn, x)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(torch.equal(a, b) for a, b in zip(once[0] + once[1], again[0] + again[1], strict=True))


def test_copies():
    rnn, x = RNN("cfn", D, H, num_layers=2, bidirectional=True), torch.randn(T, B, D)
    saved = io.BytesIO()
    torch.save(rnn, saved)
    saved.seek(0)
    for other in (copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn)), torch.load(saved, weights_only=False)):
        assert torch.equal(other(x)[0], rnn(x)[0])

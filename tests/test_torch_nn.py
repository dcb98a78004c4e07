"""`RNN` in the place of nn.LSTM, nn.GRU and nn.RNN: every option of theirs, with the same weights, outputs, states and gradients."""

import copy
import io
import pickle
from functools import partial

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence

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
    assert all(a.dtype == b.dtype and error(a, b) <= TOLERANCE["schedule", torch.bfloat16] for a, b in zip(found, right, strict=True))


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


def pruned(rnn: nn.Module) -> list[torch.Tensor]:
    prune.l1_unstructured(rnn, "weight_hh_l0", 0.5)
    return flat(rnn(torch.randn(T, B, D)))


def dropped(rnn: nn.Module) -> list[torch.Tensor]:
    """In training, in evaluation, and after a change of the rate."""
    x, found = torch.randn(T, B, D), []
    for rate in (0.5, 1.0, 0.0):
        rnn.dropout = rate
        found += [*flat(rnn.train()(x)), *flat(rnn.eval()(x))]
    return found


def retained(rnn: nn.Module) -> list[torch.Tensor]:
    y = rnn(torch.randn(T, B, D))[0].sum()
    return [g for _ in range(2) for g in torch.autograd.grad(y, list(rnn.parameters()), retain_graph=True)]


def unequal(rnn: nn.Module) -> list[torch.Tensor]:
    """A packed batch in any order, forwards and back."""
    x = pad_sequence([torch.randn(n, D) for n in (3, T, 1)])
    y, final = rnn(pack_padded_sequence(x, [3, T, 1], enforce_sorted=False))
    return [pad_packed_sequence(y)[0], *flat((y, final))[1:]]


def in_weight_norm(rnn: nn.Module) -> list[torch.Tensor]:
    parametrizations.weight_norm(parametrizations.weight_norm(rnn, "weight_hh_l0"), "weight_ih_l0")
    y = flat(rnn(torch.randn(T, B, D)))
    return [*y, *torch.autograd.grad(y[0].sum(), list(rnn.parameters()))]


def copied(rnn: nn.Module) -> list[torch.Tensor]:
    """Pickled, copied, saved and loaded."""
    other = pickle.loads(pickle.dumps(copy.deepcopy(rnn)))
    other.load_state_dict({key: value * 0.5 for key, value in rnn.state_dict().items()})
    return flat(other(torch.randn(T, B, D)))


def strided(rnn: nn.Module) -> list[torch.Tensor]:
    """Inputs, states and upstream gradients that aren't contiguous."""
    x = torch.randn(B, D, T).permute(2, 0, 1).requires_grad_()
    states = [torch.randn(B, 2, H).transpose(0, 1) for _ in range(1 + (rnn.mode == "LSTM"))]
    y = flat(rnn(x, tuple(states) if len(states) > 1 else states[0]))
    return [*y, *torch.autograd.grad(y[0], [x, *rnn.parameters()], torch.randn(B, H, T).permute(2, 0, 1))]


def without_sequences(rnn: nn.Module) -> list[torch.Tensor]:
    """Forwards and back."""
    y = flat(rnn(torch.randn(T, 0, D)))
    return [*y, *torch.autograd.grad(y[0].sum(), list(rnn.parameters()))]


def batch_first(rnn: nn.Module) -> list[torch.Tensor]:
    """A batch, a packed batch and a sequence without one, with states in torch's layout."""
    rnn.batch_first, x = True, torch.randn(B, T, D)
    packed = pack_padded_sequence(x, [T, T, 4, 1, 1], batch_first=True)
    found = [rnn(x, hidden(rnn, 2, B, H)), rnn(packed, hidden(rnn, 2, B, H)), rnn(x[0], hidden(rnn, 2, H))]
    return [part for y, final in found for part in flat((getattr(y, "data", y), final))]


def by_name(rnn: nn.Module) -> list[torch.Tensor]:
    """Loops over names that initialize, as users write them."""
    for name, parameter in rnn.named_parameters():
        nn.init.orthogonal_(parameter) if "weight_hh" in name else nn.init.xavier_uniform_(parameter) if "weight" in name else None
        if "bias" in name:
            parameter.data.fill_(0)
            parameter.data[len(parameter) // 4 : len(parameter) // 2] = 1
    return flat(rnn(torch.randn(T, B, D)))


TORCHS_OWN = {
    "pruned": pruned, "dropped": dropped, "retained": retained, "unequal": unequal, "in weight norm": in_weight_norm, "copied": copied,
    "strided": strided, "by name": by_name,
    "no sequences": without_sequences, "batch first": batch_first,
    "seeded": lambda rnn: [*rnn.state_dict().values(), *(weight for weights in rnn.all_weights for weight in weights)],
    "no states are zeros": lambda rnn: flat(rnn(torch.ones(T, B, D), zeros(rnn))) + flat(rnn(torch.ones(T, B, D))),
    "no steps": lambda rnn: rnn(torch.randn(0, B, D)),
    "four dimensions": lambda rnn: rnn(torch.randn(1, T, B, D)),
    "another width": lambda rnn: rnn(torch.randn(T, B, D + 1)),
    "another dtype": lambda rnn: rnn(torch.randn(T, B, D).double()),
    "states of another width": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn, 2, B, H + 1)),
    "states of another batch": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn, 2, B + 1, H)),
    "states of too few layers": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn, 1, B, H)),
    "states of another dtype": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn.double(), 2, B, H)),
    "states of another rank": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn, 1, 2, B, H)),
    "packed, states of another batch": lambda rnn: rnn(pack_padded_sequence(torch.randn(T, 2, D), [T, 1]), hidden(rnn, 2, 3, H)),
    "packed, another width": lambda rnn: rnn(pack_padded_sequence(torch.randn(T, 2, D + 1), [T, 1])),
    "one dimension": lambda rnn: rnn(torch.randn(D)),
    "whole numbers": lambda rnn: rnn(torch.ones(T, B, D, dtype=torch.long)),
    "a sparse input": lambda rnn: rnn(torch.randn(T, B, D).to_sparse()),
    "states without a batch": lambda rnn: rnn(torch.randn(T, B, D), hidden(rnn, 2, H)),
    "one sequence": lambda rnn: flat(rnn(torch.randn(T, D), hidden(rnn, 2, H))),
}  # fmt: skip
"""Checks of torch's tests of its recurrent modules (test/test_nn.py and test/nn), each on a module of two layers; what a check raises is
compared by type. Those of a GPU, of proj_size and of quantized modules are left out: docs/replace.md."""


def hidden(rnn: nn.Module, *shape: int) -> object:
    made = tuple(torch.randn(shape) for _ in range(1 + (rnn.mode == "LSTM")))
    return made if len(made) > 1 else made[0]


def zeros(rnn: nn.Module) -> object:
    found = hidden(rnn, 2, B, H)
    return tuple(map(torch.zeros_like, found)) if isinstance(found, tuple) else torch.zeros_like(found)


def outcome(check, make) -> object:
    torch.manual_seed(1)
    rnn = make(D, H, num_layers=2)
    try:
        return check(rnn)
    except (RuntimeError, ValueError, TypeError) as error:
        return type(error)


@pytest.mark.filterwarnings("ignore:dropout option adds dropout")
@pytest.mark.parametrize("check", TORCHS_OWN)
@pytest.mark.parametrize("kind", KINDS)
def test_torchs_own_tests(kind, check):
    right, found = (outcome(TORCHS_OWN[check], make) for make in (KINDS[kind], partial(RNN, kind)))
    if isinstance(right, type):
        assert found is right
        return
    assert len(found) == len(right)
    assert all(
        a.shape == b.shape and (not b.numel() or error(a, b) <= TOLERANCE["torch.nn gradients", b.dtype])
        for a, b in zip(found, right, strict=True)
    )

"""`RNN` in the place of nn.LSTM, nn.GRU and nn.RNN: every option of theirs, with the same weights, outputs, states and gradients."""

import copy
import io
import itertools
import pickle

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

import cells
from kernels import RNN, from_torch
from tests.reference import error
from tests.tolerances import TOLERANCE

KINDS = {"lstm": nn.LSTM, "gru": nn.GRU, "vanilla": nn.RNN, "vanilla_relu": lambda *a, **k: nn.RNN(*a, nonlinearity="relu", **k)}
OPTIONS = [
    dict(zip(("bias", "batch_first", "bidirectional", "num_layers"), values, strict=True))
    for values in itertools.product((True, False), (False, True), (False, True), (1, 2))
]
T, B, D, H = 7, 5, 10, 12
LENGTHS = {"falling": [7, 5, 4, 2, 1], "any order": [3, 7, 1, 7, 5], "equal": [4, 4, 4, 4, 4], "one": [6], "steps of one": [1, 1, 1]}
RAGGED = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


def flat(found: tuple[Tensor | PackedSequence, Tensor | tuple[Tensor, ...]]) -> list[Tensor]:
    """Outputs, then final states."""
    y, final = found
    return [y.data if isinstance(y, PackedSequence) else y, *([final] if isinstance(final, Tensor) else final)]


def results(
    layer: nn.Module, x: Tensor, *rest: object, pack: list[int] | None = None, **options: object
) -> tuple[list[Tensor], list[Tensor]]:
    """Outputs and final states of a layer, and the gradients of x and of the states where they are given, for random upstream ones."""
    x = x.clone().requires_grad_()
    given = pack_padded_sequence(x, pack, layer.batch_first, enforce_sorted=False) if pack else x
    outputs = flat(layer(given, *rest))
    generator = torch.Generator().manual_seed(5)
    loss = sum((o * torch.randn(o.shape, generator=generator, dtype=o.dtype)).sum() for o in outputs)
    leaves = [x] + [s for hx in rest for s in ([hx] if isinstance(hx, Tensor) else hx)]
    layer.zero_grad()
    return outputs, list(torch.autograd.grad(loss, leaves, retain_graph=True)) + by_torch(layer, loss)


def by_torch(layer: nn.Module, loss: Tensor) -> list[Tensor]:
    """The gradients of all parameters, in torch's packing, its two biases' gradients being the same."""
    grads = dict(zip((n for n, _ in layer.named_parameters()), torch.autograd.grad(loss, list(layer.parameters())), strict=True))
    if isinstance(layer, nn.RNNBase):
        return [g for n, g in grads.items() if not n.startswith("bias_ih")]
    joined = []
    for suffix in (s for k in range(layer.num_layers) for s in layer.suffixes(k)):
        sides = [("W", "x"), ("W", "h")] + ([("b", "h")] if layer.bias else [])
        for kind, side in sides:
            named = [grads.get(f"{kind}_{g}{side}{suffix}", grads.get(f"{kind}_{g}{suffix}")) for g in layer.cell.twin.gates]
            joined.append(torch.cat(named))
    return joined


def alike(one: tuple[list[Tensor], list[Tensor]], other: tuple[list[Tensor], list[Tensor]]) -> None:
    for what, found, right in zip(("outputs", "gradients"), one, other, strict=True):
        assert len(found) == len(right)
        for a, b in zip(found, right, strict=True):
            assert a.shape == b.shape and error(a, b) <= TOLERANCE[f"torch.nn {what}", b.dtype]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: " ".join(f"{k}={int(v)}" for k, v in o.items()))
@pytest.mark.parametrize("kind", KINDS)
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


@RAGGED
@pytest.mark.parametrize("name", cells.names())
def test_ragged(name, lengths):
    """Each sequence of a batch as if it were alone, both ways, whatever the cell."""
    rnn = RNN(name, H, H, bidirectional=True).double()
    sequences = [torch.randn(n, H, dtype=torch.float64) for n in lengths]
    packed, final = rnn(pack_sequence(sequences, enforce_sorted=False))
    y, counts = pad_packed_sequence(packed)
    assert counts.tolist() == lengths
    for b, x in enumerate(sequences):
        alone = flat(rnn(x))
        mine = [y[: len(x), b], *(s[:, b] for s in flat((y, final))[1:])]
        assert all(error(m, a) <= TOLERANCE["schedule", torch.float64] for m, a in zip(mine, alone, strict=True))


@RAGGED
@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("memory", ["full", "low"])
def test_lengths(lengths, batch_first, memory):
    """The same for a padded batch: what stands where a sequence has ended is not read, and comes back as zeros."""
    rnn = RNN("lstm", D, H, num_layers=2, batch_first=batch_first, memory=memory)
    padded = pad_sequence([torch.randn(n, D) for n in lengths], batch_first)
    poisoned = torch.cat([padded, padded[:, :1] if batch_first else padded[:1]], 1 if batch_first else 0)
    for b, n in enumerate(lengths):
        (poisoned[b, n:] if batch_first else poisoned[n:, b]).fill_(torch.nan)
    packed, final = rnn(pack_padded_sequence(padded, lengths, batch_first, enforce_sorted=False))
    wanted = pad_packed_sequence(packed, batch_first, total_length=max(lengths) + 1)[0]
    for given in (lengths, torch.tensor(lengths)):
        y, states = rnn(poisoned, lengths=given)
        assert torch.equal(y, wanted) and all(map(torch.equal, states, final))
    y, _ = rnn(poisoned.requires_grad_(), lengths=lengths)
    y.sum().backward()
    assert all(p.grad.isfinite().all() for p in (poisoned, *rnn.parameters()))


BAD = {
    "none of a sequence": lambda rnn: rnn(torch.zeros(T, B, D), lengths=[7, 0, 1, 1, 1]),
    "longer than the batch": lambda rnn: rnn(torch.zeros(T, B, D), lengths=[8, 1, 1, 1, 1]),
    "of another batch": lambda rnn: rnn(torch.zeros(T, B, D), lengths=[1, 1]),
    "parts of steps": lambda rnn: rnn(torch.zeros(T, B, D), lengths=[2.5, 1, 1, 1, 1]),
    "a mask": lambda rnn: rnn(torch.zeros(T, B, D), lengths=torch.ones(B, dtype=torch.bool)),
    "complex": lambda rnn: rnn(torch.zeros(T, B, D), lengths=torch.ones(B, dtype=torch.complex64)),
    "of no steps": lambda rnn: rnn(torch.zeros(0, B, D), lengths=[0] * B),
    "of no steps and no sequence": lambda rnn: rnn(torch.zeros(0, 0, D), lengths=[]),
    "one of no sequence": lambda rnn: rnn(torch.zeros(T, 0, D), lengths=[1]),
    "of no sequence, hidden of another width": lambda rnn: rnn(torch.zeros(T, 0, D), torch.zeros(1, 0, H + 1), lengths=[]),
    "of no tensor": lambda rnn: rnn([1.0], lengths=[1]),
    "of a single sequence": lambda rnn: rnn(torch.zeros(T, D), lengths=[1]),
    "of a packed batch": lambda rnn: rnn(pack_sequence([torch.zeros(2, D)]), lengths=[2]),
    "packed, of another width": lambda rnn: rnn(pack_sequence([torch.zeros(2, D + 1)])),
    "packed, hidden of another batch": lambda rnn: rnn(pack_sequence([torch.zeros(2, D)]), torch.zeros(1, 2, H)),
}


@pytest.mark.parametrize("bad", BAD)
def test_bad_lengths(bad):
    with pytest.raises((ValueError, RuntimeError, IndexError), match=r"[Ll]ength|batch|input_size|hidden size"):
        BAD[bad](RNN("gru", D, H))


@pytest.mark.parametrize("memory", ["full", "low"])
@pytest.mark.parametrize("kind", [list, tuple, np.array, torch.tensor])
def test_lengths_of_no_sequence(kind, memory):
    """The last batch of a filtered data set may have none: what there is of it is as without lengths."""
    rnn, states = RNN("gru", D, H, bidirectional=True, batch_first=True, memory=memory), torch.zeros(2, 0, H, requires_grad=True)
    x = torch.zeros(0, T, D, requires_grad=True)
    y, final = rnn(x, states, kind([]))
    assert y.shape == (0, T, 2 * H) and final.shape == (2, 0, H)
    (y.sum() + final.sum()).backward()
    assert x.grad.shape == x.shape and states.grad.shape == states.shape and not any(p.grad.any() for p in rnn.parameters())


@pytest.mark.parametrize("dtype", [torch.int32, torch.uint8, torch.uint16, torch.uint64])
def test_lengths_of_any_whole_kind(dtype):
    rnn, x = RNN("gru", D, H), torch.randn(T, 2, D)
    assert torch.equal(rnn(x, lengths=torch.tensor([4, 7]).to(dtype))[0], rnn(x, lengths=[4, 7])[0])


def test_no_projections():
    """Said where they are asked for, whichever way."""
    for ask in (
        lambda: RNN("lstm", D, H, proj_size=2),
        lambda: from_torch(nn.LSTM(D, H, proj_size=2)),
    ):
        with pytest.raises(ValueError, match="proj_size is not supported"):
            ask()


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("kind", ["lstm", "gru", "vanilla"])
def test_state_dict_of_torch_nn(kind, options):
    """A checkpoint of a model with nn.LSTM in it loads into the same model with an RNN there."""
    theirs = nn.ModuleDict({"rnn": KINDS[kind](D, H, **options), "out": nn.Linear(H, 1)})
    ours = nn.ModuleDict({"rnn": RNN(kind, D, H, **options), "out": nn.Linear(H, 1)})
    ours.load_state_dict(theirs.state_dict())
    x = torch.randn(T, B, D)
    assert error(flat(ours["rnn"](x))[0], flat(theirs["rnn"](x))[0]) <= TOLERANCE["torch.nn outputs", torch.float32]
    assert not [key for key in ours.state_dict() if "weight_ih" in key]


def test_state_dict_of_another_module():
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        RNN("lstm", D, H).load_state_dict(nn.LSTM(D, H + 1).state_dict())
    with pytest.raises(RuntimeError, match="Missing key"):
        RNN("minimal", D, H).load_state_dict(nn.GRU(D, H).state_dict())


def test_state_dict_of_a_like_module():
    """What doesn't fit is told, and nothing is left out in silence."""
    with pytest.raises(RuntimeError, match=r"Unexpected key.*bias_ih_l0"):
        RNN("lstm", D, H, bias=False).load_state_dict(nn.LSTM(D, H).state_dict())
    with pytest.raises(RuntimeError, match=r"Missing key.*b_i_l0"):
        RNN("lstm", D, H).load_state_dict(nn.LSTM(D, H, bias=False).state_dict())
    half = nn.LSTM(D, H).state_dict()
    del half["bias_hh_l0"]
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*b_i_l0.*Unexpected key.*bias_ih_l0"):
        RNN("lstm", D, H).load_state_dict(half)
    with pytest.raises(RuntimeError, match=r"(?s)Missing key.*Unexpected key"):
        RNN("lstm", D, 1).load_state_dict(nn.GRU(D, 1).state_dict())


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

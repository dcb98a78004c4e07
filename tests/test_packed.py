"""Sequences of different lengths, packed or padded: each as if it were alone."""

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

import cells
from kernels import RNN
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import LENGTHS, flat

T, B, D, H = 7, 5, 10, 12
RAGGED = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


@pytest.mark.parametrize(
    ("name", "kind"), [(name, kind) for name in cells.names() for kind in (LENGTHS if name in ("lstm", "qrnn") else ["any order"])]
)
def test_ragged(name, kind):
    """Each sequence of a batch as if it were alone, both ways, whatever the cell."""
    rnn = RNN(name, H, H, bidirectional=True).double()
    sequences = [torch.randn(n, H, dtype=torch.float64) for n in LENGTHS[kind]]
    packed, final = rnn(pack_sequence(sequences, enforce_sorted=False))
    y, counts = pad_packed_sequence(packed)
    assert counts.tolist() == LENGTHS[kind]
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

"""Sequences of different lengths, packed or padded: each as if it were alone."""

import copy

import numpy as np
import pytest
import torch
from torch.nn.utils.rnn import pack_padded_sequence, pack_sequence, pad_packed_sequence, pad_sequence

from kernels import RNN
from kernels.layer.packed import find_loop
from kernels.schedules.cpu import compiled
from kernels.schedules.packed_steps import PackedSteps
from tests.reference import error
from tests.sampling import sample
from tests.tolerances import TOLERANCE
from tests.torch_layers import LENGTHS, flat

T, B, D, H = 7, 5, 10, 12
RAGGED = pytest.mark.parametrize("lengths", LENGTHS.values(), ids=LENGTHS)


CELLS = ("gru_reset_before", "minimal_deep", "indrnn", "slstm", "fastgrnn", "wave")
"""Two stages, no bias of its own, vectors, two states with a start of their own, scalars, and a stencil."""


@sample("name, kind", ["lstm", "qrnn", *CELLS], list(LENGTHS))
def test_ragged(name, kind):
    """Each sequence of a batch as if it were alone, both ways, whatever the cell."""
    compare_with_sequences_alone(RNN(name, H, H, bidirectional=True).double(), LENGTHS[kind])


def compare_with_sequences_alone(rnn: RNN, lengths: list[int]) -> None:
    """Compares outputs, final states and all gradients of a packed batch with those of its sequences one by one."""
    sequences = [torch.randn(n, rnn.input_size, dtype=torch.float64, requires_grad=True) for n in lengths]
    packed, final = rnn(pack_sequence(sequences, enforce_sorted=False))
    y, counts = pad_packed_sequence(packed)
    assert counts.tolist() == lengths
    pairs = []
    for b, x in enumerate(sequences):
        mine = [y[: len(x), b], *(s[:, b] for s in flat((y, final))[1:])]
        pairs += zip(mine, flat(rnn(x)), [torch.randn_like(m) for m in mine], strict=True)
    leaves = [*sequences, *rnn.parameters()]
    grads = [torch.autograd.grad(sum((pair[k] * pair[2]).sum() for pair in pairs), leaves) for k in (0, 1)]
    for m, a in [*((m, a) for m, a, _ in pairs), *zip(*grads, strict=True)]:
        assert error(m, a) <= TOLERANCE["schedule", torch.float64]


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize(("name", "D", "H"), [("lstm", 3, 5), ("gru_reset_before", 40, 9), ("minimal_deep", 5, 33), ("qrnn", 20, 17)])
def test_many_lengths_in_one_loop(name, D, H, threads):
    """Blocks of sequences, chunks of steps and projections of few columns, each cut by the ends of sequences."""
    torch.set_num_threads(threads)  # the next test sets it again
    rnn = RNN(name, D, H, backend="compiled").double()
    loop = find_loop(rnn, torch.zeros(1, D).double(), [torch.zeros(1, H)], rnn.weights(), PackedSteps([1], torch.device("cpu")))
    assert loop is not None and isinstance(loop.args[1], compiled.OnPanels)
    compare_with_sequences_alone(rnn, [1 + 7 * k % 37 for k in range(70)])
    compare_with_sequences_alone(rnn, [61, 1, 1])


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {"backend": "eager"}) for name in ("lstm", "qrnn", "wave")), ("lstm", {"backend": "torch"}), ("qrnn", {"memory": "low"})],
)
def test_other_loops(name, options):
    """The equations step by step, torch's operator, and a padded batch."""
    compare_with_sequences_alone(RNN(name, H, H, **options).double(), LENGTHS["any order"])


@pytest.mark.parametrize(("name", "backend"), [("lstm", "stepwise"), ("minimal", "persistent"), ("qrnn", "scan"), ("wave", "stencil")])
def test_as_many_launches_as_for_one_length(name, backend, monkeypatch):
    """Forward and backward, in Triton's interpreter; each sequence as if it were alone."""
    if torch.cuda.is_available():
        pytest.skip("counts what the interpreter launches")
    from triton.runtime.interpreter import InterpretedFunction

    run, launches = InterpretedFunction.run, []
    monkeypatch.setattr(InterpretedFunction, "run", lambda *given, **options: (launches.append(given[0]), run(*given, **options))[1])
    rnn, counts = RNN(name, 8, 8, backend=backend, bidirectional=True), []
    exact, x = copy.deepcopy(rnn).double(), torch.randn(4, 3, 8)
    exact.backend = "eager"
    for lengths in ([4, 4, 4], [2, 4, 1]):
        launches.clear()
        given = x.clone().requires_grad_()
        y, final = rnn(given, lengths=lengths)
        (y.sum() + sum(s.sum() for s in flat((y, final))[1:])).backward()
        counts.append(len(launches))
    wide = x.double().requires_grad_()
    wanted = exact(wide, lengths=lengths)
    sum(v.sum() for v in flat(wanted)).backward()
    assert counts[0] == counts[1] > 0
    for mine, alone in zip([*flat((y, final)), given.grad], [*flat(wanted), wide.grad], strict=True):
        assert error(mine, alone) <= TOLERANCE["schedule", torch.float32]


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("lengths", [[3, 0, 7, 0, 1], [0] * 5], ids=str)
def test_an_empty_sequence_keeps_its_initial_states(lengths, batch_first):
    rnn = RNN("lstm", D, H, num_layers=2, bidirectional=True, batch_first=batch_first).double()
    x, states = torch.randn(T, B, D).double(), tuple(torch.randn(4, B, H).double().requires_grad_() for _ in range(2))
    y, final = rnn(x.transpose(0, 1) if batch_first else x, states, lengths)
    y = y.transpose(0, 1) if batch_first else y
    for b, n in enumerate(lengths):
        assert not y[n:, b].any()
        wanted = flat(rnn(x[:n, b], tuple(s[:, b] for s in states))) if n else [x[:0, b], *(s[:, b] for s in states)]
        for mine, alone in zip([y[:n, b] if n else x[:0, b], *(s[:, b] for s in final)], wanted, strict=True):
            assert error(mine, alone) <= TOLERANCE["schedule", torch.float64]
    (y.sum() + sum(s.sum() for s in final)).backward()
    assert all(torch.equal(s.grad[:, b], torch.ones(4, H)) for s in states for b, n in enumerate(lengths) if not n)


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
    "less than none": lambda rnn: rnn(torch.zeros(T, B, D), lengths=[7, -1, 1, 1, 1]),
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

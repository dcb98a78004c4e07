"""States that begin anew inside a sequence: each stretch between two resets as if it were alone, in float64 by the equations."""

import copy
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import PackedSequence, pack_padded_sequence, pad_packed_sequence

from cells.grammar.cell import Cell
from cells.grammar.functions import prev, sigmoid, tanh
from kernels import RNN
from kernels.layer import equations
from tests.reference import error
from tests.tolerances import TOLERANCE
from tests.torch_layers import flat

T, B, D, H = 6, 5, 4, 8
LENGTHS = [6, 0, 1, 3, 6]


def begun(h, c, x, W, b, p):
    """Two states, one with a start of its own, the input before, and a second stage."""
    r = sigmoid(W.rx(prev(x)) + W.rh(h) + b.r)
    c = sigmoid(p.f) * c + tanh(W.cx(x) + W.ch(r * h) + b.c)
    return r * tanh(c), c


BEGUN = Cell(begun, start={"c": 0.5})


def make_reset(batch_first: bool = False) -> Tensor:
    """By sequence: none; from the first step on, everywhere; at the first; two in a row; the last, and one past most ends."""
    reset = torch.zeros(T, B, dtype=torch.bool)
    reset[:, 1] = True
    reset[0, 2] = reset[1:3, 3] = reset[4:, 4] = True
    return reset.t() if batch_first else reset


def run_alone(rnn: RNN, x: Tensor, hx: list[Tensor], reset: Tensor, lengths: list[int]) -> list[Tensor]:
    """Outputs (T, B, ·) and final states of each sequence, layer and direction, stretch by stretch."""
    outputs, finals = [], []
    for b, n in enumerate(lengths):
        rows, ends = x[:n, b], []
        for layer in range(rnn.num_layers):
            found = []
            for direction, suffix in enumerate(rnn.suffixes(layer)):
                mine, anew = (rows.flip(0), reset[:n, b].flip(0)) if direction else (rows, reset[:n, b])
                states, parts = [s[len(ends), b : b + 1] for s in hx], [x.new_zeros(0, rnn.hidden_size)]
                for first, last in pairwise([0, *(t for t in range(1, n) if anew[t]), n] if n else []):
                    states = rnn.cell.initial(x, 1, rnn.hidden_size) if first or anew[0] else states
                    y, states = rnn.cell.unroll(mine[first:last, None], states, rnn.weights(suffix))
                    parts.append(y[:, 0])
                found.append(torch.cat(parts).flip(0) if direction else torch.cat(parts))
                ends.append(states)
            rows = torch.cat(found, -1)
        outputs.append(torch.cat([rows, rows.new_zeros(len(x) - n, rows.shape[1])]))
        finals.append([torch.cat(s) for s in zip(*ends, strict=True)])
    return [torch.stack(outputs, 1), *(torch.stack(s, 1) for s in zip(*finals, strict=True))]


CASES = [
    ("lstm", {"num_layers": 2, "bidirectional": True}),
    ("lstm", {"num_layers": 2, "bidirectional": True, "memory": "low"}),
    ("lstm", {"backend": "torch", "batch_first": True}),
    (BEGUN, {"bidirectional": True, "batch_first": True}),
    (BEGUN, {"memory": "low"}),
    (BEGUN, {"backend": "eager", "num_layers": 2}),
    (BEGUN, {"backend": "eager", "memory": "low"}),
]
INTERPRETED = [
    (BEGUN, {"backend": "stepwise", "bidirectional": True}),
    (BEGUN, {"backend": "persistent"}),
    ("qrnn", {"backend": "scan", "bidirectional": True}),
    ("wave", {"backend": "stencil"}),
]
DOUBLE = [(cell, options | {"dtype": torch.float64}) for cell, options in CASES]


@pytest.mark.parametrize(
    ("cell", "options", "lengths"),
    [*((*case, lengths) for case in DOUBLE for lengths in (None, LENGTHS)), *((*case, LENGTHS) for case in INTERPRETED)],
    ids=lambda value: getattr(value, "name", str(value).replace("torch.", "")),
)
def test_each_stretch_as_if_alone(cell, options, lengths):
    """Outputs, final states and all gradients. What stands past the end of a sequence is NaN and reaches none of them."""
    rnn = RNN(cell, H if cell == "wave" else D, H, **options)
    x, reset = torch.randn(T, B, rnn.input_size, dtype=options.get("dtype")), make_reset()
    hx = [torch.randn(rnn.num_layers * rnn.directions, B, H, dtype=x.dtype) for _ in rnn.cell.states]
    clean, counts = x.clone(), lengths or [T] * B
    for b, n in enumerate(counts):
        x[n:, b], clean[n:, b] = torch.nan, 0
    ours = [t.clone().requires_grad_() for t in (x, *hx)]
    y, final = rnn(
        *(ours[0].transpose(0, 1) if rnn.batch_first else ours[0], ours[1:] if len(hx) > 1 else ours[1]),
        **({"lengths": lengths} if lengths else {}), reset=make_reset(rnn.batch_first),
    )  # fmt: skip
    found = flat((y.transpose(0, 1) if rnn.batch_first else y, final))
    exact, theirs = copy.deepcopy(rnn).double(), [t.double().requires_grad_() for t in (clean, *hx)]
    wanted = run_alone(exact, theirs[0], theirs[1:], reset, counts)
    upstream = [torch.randn_like(v) for v in wanted]
    pairs = list(zip(found, wanted, strict=True))
    gradients = [
        torch.autograd.grad(
            values, leaves, [u.to(v.dtype) for u, v in zip(upstream, values, strict=True)], allow_unused=True, materialize_grads=True
        )
        for values, leaves in ((found, [*ours, *rnn.parameters()]), (wanted, [*theirs, *exact.parameters()]))
    ]
    for mine, alone in [*pairs, *zip(*gradients, strict=True)]:
        assert error(mine, alone) <= TOLERANCE["schedule", mine.dtype]
    assert not gradients[0][1][0, [b for b in (1, 2) if counts[b]]].any(), "a reset in the first step leaves nothing of hx"


def test_packed_batches():
    """In any order of the sequences, with the mask packed or padded; what it says past the end of a sequence is ignored."""
    rnn, x, lengths = RNN(BEGUN, D, H, dtype=torch.float64), torch.randn(T, B, D).double(), [3, 6, 1, 5, 6]
    wanted, ends = rnn(x, lengths=lengths, reset=make_reset())
    packed = pack_padded_sequence(x, lengths, enforce_sorted=False)
    for given in (make_reset(), pack_padded_sequence(make_reset(), lengths, enforce_sorted=False)):
        y, final = rnn(packed, reset=given)
        assert torch.equal(pad_packed_sequence(y)[0], wanted) and all(map(torch.equal, final, ends))


@pytest.mark.parametrize("backend", ["compiled", "eager"])
def test_nothing_crosses_a_reset(backend):
    """No NaN of a later stretch goes back, and none of an earlier one, or of the initial state, goes on."""
    rnn, x = RNN(BEGUN, D, H, backend=backend, dtype=torch.float64), torch.randn(T, 1, D).double()
    for bad in (0, 4):
        given = x.clone()
        given[bad] = torch.nan
        given.requires_grad_()
        y, _ = rnn(given, reset=torch.arange(T)[:, None] % 3 == 0)
        y.sum().backward()
        clean = slice(3, 6) if bad == 0 else slice(0, 3)
        assert y[clean].isfinite().all() and given.grad[clean].isfinite().all() and y.isnan().any()
    hx = [torch.full((1, 1, H), torch.nan).double().requires_grad_() for _ in range(2)]
    y, final = rnn(x, hx, reset=torch.ones(T, 1, dtype=torch.bool))
    (y.sum() + sum(s.sum() for s in final)).backward()
    assert y.isfinite().all() and not any(s.grad.any() for s in hx)


def test_one_sequence_and_the_input_before():
    """Without a batch; a reset in the first step makes prev(x) 0, whatever `before` is."""
    rnn, x, before = RNN(BEGUN, D, H, dtype=torch.float64), torch.randn(T, D).double(), torch.randn(D).double()
    reset = torch.tensor([True, False, False, True, False, False])
    y, _ = rnn(x, reset=reset, before=before)
    assert torch.allclose(y, torch.cat([rnn(x[:3])[0], rnn(x[3:])[0]]), atol=1e-12)
    assert torch.allclose(rnn(x[:1], reset=reset[:1], before=before)[0], rnn(x[:1])[0], atol=1e-12)
    y, _ = rnn(x, reset=reset & (torch.arange(T) > 0), before=before)
    assert torch.allclose(y[:3], rnn(x[:3], before=before)[0], atol=1e-12)


def test_no_sequence_and_no_parameter_of_its_own():
    rnn = RNN(BEGUN, D, H)
    names = [*rnn.state_dict()]
    y, final = rnn(torch.zeros(T, 0, D), reset=torch.zeros(T, 0, dtype=torch.bool))
    assert y.shape == (T, 0, H) and final[0].shape == (1, 0, H) and [*rnn.state_dict()] == names


BAD = {
    "a list": ([[True] * B] * T, TypeError, "reset is a list"),
    "numbers": (torch.zeros(T, B), RuntimeError, r"reset to be \(6, 5\) in torch.bool on cpu, got \(6, 5\) in torch.float32"),
    "of another shape": (torch.zeros(B, T, dtype=torch.bool), RuntimeError, r"reset to be \(6, 5\)"),
    "packed for a batch": (pack_padded_sequence(make_reset(), [T] * B), TypeError, "reset is a PackedSequence"),
}


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("options", [{}, {"lengths": [T] * B}], ids=["whole", "ragged"])
def test_bad_masks(bad, options):
    given, kind, message = BAD[bad]
    with pytest.raises(kind, match=message):
        RNN("gru", D, H)(torch.zeros(T, B, D), reset=given, **options)


def test_a_mask_packed_in_another_way():
    data = pack_padded_sequence(torch.zeros(T, B, D), [3, 6, 1, 5, 6], enforce_sorted=False)
    for lengths in ([6, 3, 1, 5, 6], [6, 6, 1, 3, 5], [6] * B):
        reset: PackedSequence = pack_padded_sequence(make_reset(), lengths, enforce_sorted=False)
        with pytest.raises(RuntimeError, match="reset is packed in another way"):
            RNN("gru", D, H)(data, reset=reset)


@pytest.mark.parametrize("options", [{"lengths": [2, 0, 1, 3, 6]}, {"reset": make_reset()}], ids=["lengths", "reset"])
def test_in_torch_func(options):
    """By the equations, for a cell that torch has too."""
    rnn, x = RNN("lstm", D, H), torch.randn(T, B, D, requires_grad=True)
    with pytest.warns(RuntimeWarning, match="runs as its equations inside torch.func"):
        equations.warn_once.cache_clear()
        found = torch.func.grad(lambda v: rnn(v, **options)[0].square().sum())(x.detach())
    rnn(x, **options)[0].square().sum().backward()
    assert torch.allclose(found, x.grad, atol=1e-5)


@pytest.mark.parametrize("backend", ["auto", "eager"])
def test_in_a_graph_of_torch_compile(backend):
    rnn, x, reset = RNN("minimal", D, H, backend=backend), torch.randn(2, B, D), make_reset()[2:4]
    torch._dynamo.reset()
    found = torch.compile(rnn, fullgraph=True, backend="eager")(x, reset=reset)[0]
    assert torch.allclose(found, rnn(x, reset=reset)[0], atol=1e-6)


def test_exported():
    """For any length and batch."""
    rnn, sizes = RNN("minimal", D, H, bidirectional=True), {0: torch.export.Dim("T"), 1: torch.export.Dim("B")}
    given = torch.randn(3, 2, D), {"reset": torch.ones(3, 2, dtype=torch.bool)}
    program = torch.export.export(rnn, given[:1], given[1], dynamic_shapes={"input": sizes, "reset": sizes}, strict=False).module()
    x, reset = torch.randn(T, B, D), make_reset()
    assert torch.allclose(program(x, reset=reset)[0], rnn(x, reset=reset)[0], atol=1e-6)

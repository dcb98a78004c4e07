"""zoneout and dropout: every schedule against the papers' equations written in torch in float64, with the same masks."""

import copy
import pickle

import pytest
import torch
from torch import Tensor

from bench.measure import gate
from bench.measure.backends import Unsupported, build_workload
from bench.measure.problem import Problem
from bench.studies.training.layer_check import check_layer
from cells import Cell, CellError
from cells.grammar.functions import dropout, mean, prev, sigmoid, tanh, time, zoneout
from kernels import RNN
from kernels.layer import custom_op
from tests.reference import error
from tests.tolerances import TOLERANCE

T, B, D, H = 5, 4, 3, 6
LENGTHS = [3, 5, 0, 4]


def noisy(h, c, x, W, b, p):
    """Zoneout of both states, and dropout of an input, of a state in front of a matrix, of a candidate, and of a vector."""
    i = sigmoid(W.ix(dropout(x, 0.25)) + W.ih(dropout(h, 0.5)) + b.i)
    new = sigmoid(dropout(p.f, 0.125) + 0.1 * time()) * c + i * dropout(tanh(W.gx(x) + W.before(prev(x))), 0.5)
    return zoneout(h, i * tanh(new), 0.25), zoneout(c, new, 0.5)


NOISY = Cell(noisy, start={"c": 0.5})
RATES, WIDTHS = [0.25, 0.5, 0.125, 0.5, 0.25, 0.5], [D, H, H, H, H, H]
"""In the order of the calls."""


def linear(h, x, W, b):
    """No product in the loop: it can be scanned."""
    f = sigmoid(W.f(x) + b.f)
    return zoneout(h, f * h + (1 - f) * dropout(W.z(x), 0.25), 0.5)


LINEAR = Cell(linear)


def paper(rnn: RNN, x: Tensor, suffix: str, masks: list[Tensor] | None, reset: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """One layer and direction of `noisy` from its own start, on one sequence (T, D), with masks (T, width)."""
    w = rnn.weights(suffix)
    outputs, first = [], 0
    for t in range(len(x)):
        if t == 0 or reset[t]:
            h, c, before, first = x.new_zeros(H), x.new_full((H,), 0.5), x.new_zeros(x.shape[-1]), t
        m = None if masks is None else [mask[t].to(x.dtype) for mask in masks]

        def drop(v: Tensor, k: int, m=m) -> Tensor:
            return v if m is None else v * m[k] / (1 - RATES[k])

        i = torch.sigmoid(w["W.ix"] @ drop(x[t], 0) + w["W.ih"] @ drop(h, 1) + w["b.i"])
        g = drop(torch.tanh(w["W.gx"] @ x[t] + w["W.before"] @ before), 3)
        new = torch.sigmoid(drop(w["p.f"], 2) + 0.1 * (t - first)) * c + i * g
        h_new = i * torch.tanh(new)
        keep = (RATES[4], RATES[5]) if m is None else (m[4], m[5])
        h, c, before = keep[0] * h + (1 - keep[0]) * h_new, keep[1] * c + (1 - keep[1]) * new, x[t]
        outputs.append(h)
    return torch.stack(outputs), h, c


def run_paper(rnn: RNN, x: Tensor, reset: Tensor, training: bool) -> list[Tensor]:
    """All layers and directions: the outputs (T, B, ·) and the final states."""
    finals, generator = [], torch.manual_seed(1)
    for layer in range(rnn.num_layers):
        found = []
        for direction, suffix in enumerate(rnn.suffixes(layer)):
            widths = [x.shape[-1], *WIDTHS[1:]]
            drawn = torch.rand(T, B, sum(widths), generator=generator).split(widths, -1)
            keep = [(u < (r if k > 3 else 1 - r)) for k, (u, r) in enumerate(zip(drawn, RATES, strict=True))] if training else None
            rows, anew = (x.flip(0), reset.flip(0)) if direction else (x, reset)
            parts = [paper(rnn, rows[:, b], suffix, keep and [m[:, b] for m in keep], anew[:, b]) for b in range(B)]
            y, *ends = (torch.stack(part, -2) for part in zip(*parts, strict=True))
            found.append(y.flip(0) if direction else y)
            finals.append(ends)
        x = torch.cat(found, -1)
    return [x, *(torch.stack(s) for s in zip(*finals, strict=True))]


CASES = [
    ("compiled", {"num_layers": 2, "bidirectional": True}, True, True),
    ("compiled", {"memory": "low"}, True, False),
    ("eager", {"num_layers": 2, "bidirectional": True}, True, True),
    ("eager", {"memory": "low"}, True, False),
    ("compiled", {}, False, False),
    ("eager", {}, False, False),
]


@pytest.mark.parametrize(("backend", "options", "training", "resets"), CASES, ids=str)
def test_papers(backend, options, training, resets):
    """Outputs, final states and all gradients, of masks that depend on the seed alone; in evaluation there are none."""
    rnn = RNN(NOISY, D, H, backend=backend, dtype=torch.float64, **options).train(training)
    reset = torch.rand(T, B) < 0.3 if resets else torch.zeros(T, B, dtype=torch.bool)
    x = torch.randn(T, B, D, dtype=torch.float64, requires_grad=True)
    wanted = run_paper(rnn, x, reset, training)
    torch.manual_seed(1)
    y, ends = rnn(x, **({"reset": reset} if resets else {}))
    upstream, leaves = [torch.randn_like(v) for v in wanted], [x, *rnn.parameters()]
    found, exact = ([*v, *torch.autograd.grad(v, leaves, upstream)] for v in ([y, *ends], wanted))
    assert max(map(error, found, exact)) <= TOLERANCE["schedule", torch.float64]
    assert torch.equal(rnn(x)[0], rnn(x)[0]) is not training, "two calls draw two masks"


def outputs_and_gradients(rnn: RNN, x: Tensor, **options) -> list[Tensor]:
    torch.manual_seed(2)
    x = x.clone().requires_grad_()
    y, ends = rnn(x, **options)
    values = [y, *(ends if isinstance(ends, tuple) else [ends])]
    return [*values, *torch.autograd.grad(torch.cat([v.sin().flatten() for v in values]).sum(), [x, *rnn.parameters()])]


@pytest.mark.parametrize(
    ("cell", "options"),
    [(NOISY, {"backend": "stepwise"}), (NOISY, {"backend": "persistent"}), (NOISY, {"backend": "compiled", "memory": "low"}),
     (LINEAR, {"backend": "scan"}), (LINEAR, {"backend": "compiled"})],
    ids=lambda value: getattr(value, "name", str(value)),
)  # fmt: skip
@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_schedules_draw_the_same(cell, options, lengths):
    """float32 against the equations in float64; of a packed batch too, and where its rows run padded."""
    rnn = RNN(cell, D, H, **options)
    exact, x = RNN(cell, D, H, backend="eager", dtype=torch.float64), torch.randn(T, B, D)
    exact.load_state_dict(rnn.state_dict())
    given = {} if lengths is None else {"lengths": lengths}
    pairs = zip(outputs_and_gradients(rnn, x, **given), outputs_and_gradients(exact, x.double(), **given), strict=True)
    assert max(error(mine, wanted) for mine, wanted in pairs) <= TOLERANCE["schedule", torch.float32]


def test_graphs_and_copies():
    """A graph of torch.compile draws as the layer does, in training alone; a copy and a pickled layer still do."""
    rnn, x = RNN(NOISY, D, H, dtype=torch.float64), torch.randn(T, B, D, dtype=torch.float64)
    reset, graph = torch.arange(T)[:, None].expand(T, B) == 4, torch.compile(rnn, backend="eager", fullgraph=True)
    wanted = outputs_and_gradients(rnn, x, reset=reset)
    for layer in (graph, copy.deepcopy(rnn), pickle.loads(pickle.dumps(rnn))):
        assert max(map(error, outputs_and_gradients(layer, x, reset=reset), wanted)) <= TOLERANCE["schedule", torch.float64]
    rnn.eval()
    assert torch.equal(graph(x)[0], graph(x)[0])
    rnn.train()
    with torch.no_grad():
        assert not torch.equal(rnn(x)[0], rnn(x)[0]) and not torch.equal(rnn(x)[0], rnn(x)[0])


@pytest.mark.parametrize("backend", ["eager", "compiled", "compiled-low"])
def test_measured_with_masks_in_training(backend):
    """The gate compares training with float64 under the same masks, and inference with the equations without them."""
    problem = Problem("noisy", NOISY, T, B, D, H, torch.float32, torch.device("cpu"), seed=3)
    work = build_workload(backend, problem)
    assert gate.check_workload(problem, work, work.answer(), 1e-5, gradients=True)[1] == ""
    for call in (work.train, work.infer):
        assert gate.recheck_after_timing(work, call, gate.copy_outputs(work, call()), 1e-5) == ""
    work.masks[0].logical_not_()
    assert "off by" in gate.compare_answer(problem, work.answer(), 1e-5)[1]
    assert check_layer(RNN(NOISY, D, H, backend=backend.partition("-")[0]), torch.randn(T, B, D))[1] < 1e-5
    for other, given in ((backend, {"input_product": False}), ("jax", {}), ("int8", {})):
        with pytest.raises(Unsupported, match="has no masks"):
            build_workload(other, problem, **given)


def test_rates_are_part_of_a_graphs_name():
    """Evaluation has no dropout, so the equations of these two are the same there."""

    def make(rate):
        def step(h, x, W):
            return dropout(tanh(W.x(x)), rate) + W.h(h)

        return Cell(step)

    assert custom_op.register(make(0.25)) != custom_op.register(make(0.5))


@pytest.mark.parametrize("rate", [0, 1, 0.25])
def test_share_of_units(rate):
    """A rate is the probability with which a unit keeps its old value, or is dropped and the others scaled by 1 / (1 - rate)."""

    def step(h, g, x, p):
        return dropout(p.one, rate), zoneout(g, p.one + (g - g), rate)

    dropped, zoned = RNN(Cell(step, init={"p.one": 1.0}), 1, 100, backend="eager")(torch.zeros(1, 100, 1))[1]
    kept = {0: 1.0, 1: 0.0}.get(rate, 1 / (1 - rate) if rate < 1 else 0)
    assert ((dropped == 0) | (dropped == kept)).all() and abs((dropped == 0).float().mean() - rate) < 0.02
    assert ((zoned == 0) | (zoned == 1)).all() and abs((zoned == 0).float().mean() - rate) < 0.02


@pytest.mark.parametrize(
    ("value", "words"),
    [(lambda h, W, s: dropout(h, 1.5), r"rate of dropout is a number in \[0, 1\], not 1.5"),
     (lambda h, W, s: zoneout(h, h, s.rate), "not a value of the cell"),
     (lambda h, W, s: dropout(mean(h), 0.5), "one number for all of them"), (lambda h, W, s: dropout(s.a, 0.5) * h, "one number for all"),
     (lambda h, W, s: zoneout(1.0, 2.0, 0.5) * h, "one number for all"), (lambda h, W, s: dropout(W.h, 0.5), "apply the matrix first"),
     (lambda h, W, s: dropout(h), "rate")],
)  # fmt: skip
def test_errors(value, words):
    def step(h, x, W, s):
        return value(h, W, s) + W.x(x)

    with pytest.raises(CellError, match=words):
        RNN(step, D, H)

"""What the CPU's loop does with the gradients of its products: in step with it where that is less work, else after it."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import tanh
from kernels import RNN
from kernels.derive.plan import plan
from kernels.schedules.cpu import compiled
from kernels.schedules.cpu import threads as shares
from tests import custom
from tests.reference import agree, check, draws, problem, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE

NAMES = [
    "minimal", "gru_reset_before", "lstm", "mingru", "qrnn", "lstm_peephole", "reused", "tied", "fed_argument", "autonomous",
    "learned_bias",
]  # fmt: skip
SIZES = [(70, 5, 3, 16), (33, 34, 40, 17), (9, 70, 33, 40), (300, 2, 5, 3), (1, 70, 7, 33)]
"""T, B, D, H: chunks that end early, blocks of unlike rows, panels that end early, inputs computed again and kept."""


@pytest.fixture
def threads():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def made(name):
    return custom.CELLS.get(name) or cells.load(name)


@pytest.fixture
def followed(monkeypatch):
    """For each backward pass, whether its products followed the loop."""
    found, follows = [], compiled.fuses_weight_gradients

    def told(loop):
        found.append(follows(loop))
        return found[-1]

    monkeypatch.setattr(compiled, "fuses_weight_gradients", told)
    return found


@sample("name, size", NAMES, SIZES)
def test_products_follow(name, size, followed, monkeypatch):
    """In two threads, and of one cell in one."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1 if name == "lstm_peephole" else 2)
    check(draws(made(name), *size), "compiled", torch.float32)
    assert followed and all(followed)


def test_two_biases_of_one_sum():
    """An input projection adds all biases of its sum."""

    def two(h, x, W, b, p):
        return tanh(W.h(h) + W.x(x) + b.h + p.h)

    check([problem(Cell(two), 3, 2, 5, 7)], "compiled", torch.float32)


@pytest.mark.parametrize("size", [(3, 1, 5, 4), (2, 3, 40, 8), (1, 5, 3, 33)], ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_products_come_after(name, size, followed, monkeypatch):
    """Where a thread would have no rows, or a matrix has more columns than there are rows."""
    monkeypatch.setattr(torch, "get_num_threads", lambda: 4)
    check(draws(made(name), *size), "compiled", torch.float32)
    assert followed and not any(followed)


@pytest.mark.parametrize("frozen", [("x",), ("W",), ("b",), ("x", "W"), ("x", "b"), ("W", "b")], ids=" ".join)
@pytest.mark.parametrize("name", ["minimal", "gru_reset_before", "mingru"])
def test_what_is_wanted(name, frozen, followed):
    p = problem(made(name), 40, 6, 5, 19)
    check([p], "compiled", torch.float32, frozen={n for n in p.given if n.partition(".")[0] in frozen})
    assert followed == [True]


@pytest.mark.parametrize("name", NAMES)
def test_both_ways_agree(name, monkeypatch):
    p = problem(made(name), 60, 8, 21, 37)
    first = solve(p, "compiled", torch.float32)
    monkeypatch.setattr(compiled, "fuses_weight_gradients", lambda loop: False)
    agree([solve(p, "compiled", torch.float32)], [first], 10 * TOLERANCE["two ways", torch.float32])


@pytest.mark.parametrize("name", ["minimal", "mingru"])
def test_bit_by_bit(name, threads):
    """No thread's share is added up in a racing order."""
    p = problem(made(name), 200, 37, 21, 37)
    first = solve(p, "compiled", torch.float32)
    for _ in range(3):
        again = solve(p, "compiled", torch.float32)
        assert all(torch.equal(again[key], first[key]) for key in first)


@pytest.mark.parametrize("D", [compiled.RECOMPUTE_COLUMNS, compiled.RECOMPUTE_COLUMNS + 1])
def test_rows_of_few_columns_are_not_kept(D):
    """Only the input and the states are, where no state's product is added to the rows; rows of many columns are kept besides."""
    T, B, H = 50, 4, 16
    layer = RNN("mingru", D, H, backend="compiled")
    kept = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes() // 4
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        layer(torch.randn(T, B, D, requires_grad=True))
    learned = sum(p.numel() for p in layer.parameters())
    rows = len(plan(layer.cell).terms) * T * B * H if compiled.RECOMPUTE_COLUMNS < D else 0
    assert T * B * (D + H) + rows <= sum(kept.values()) <= T * B * (D + H) + rows + learned + 2 * B * H


@pytest.mark.parametrize(
    ("T", "B", "H", "expected"), [(1, 8, 64, 1), (1, 4, 256, 1), (16, 8, 64, 2), (1, 32, 256, 2), (64, 1, 256, 2), (900, 1, 64, 1)]
)
def test_little_work_is_done_by_one_thread(T, B, H, expected, threads, monkeypatch):
    """A call of few operations, or steps of few whose units threads would share."""
    monkeypatch.setattr(shares, "MIN_THREADED_FLOP", 8_000_000)
    monkeypatch.setattr(shares, "MIN_SHARED_STEP_FLOP", 100_000)
    found, make = [], compiled.make_pass_arguments
    monkeypatch.setattr(compiled, "make_pass_arguments", lambda *given: (found.append(make(*given)), found[-1])[1])
    with torch.no_grad():
        RNN("lstm", H, H, backend="compiled")(torch.randn(T, B, H))
    assert [arguments.words[compiled.WORDS["threads"]] for arguments in found] == [expected]


def run_low_memory(layer, x):
    layer.memory = "low"
    return layer(x)[0]


def run_prepared(layer, x):
    """The third call without gradients, after one that packs the matrices and one that prepares; the parameters have changed in between."""
    with torch.no_grad():
        for factor in (2.0, 0.5):
            layer(x), layer(x)
            for p in layer.parameters():
                p.mul_(factor)
        return layer(x)[0]


RUNS = {
    "full": lambda layer, x: layer(x)[0],
    "low": run_low_memory,
    "prepared": run_prepared,
    "graph": lambda layer, x: torch.compile(layer, backend="aot_eager", fullgraph=True)(x)[0],
}


@pytest.mark.parametrize("run", RUNS)
def test_vectors_in_16_bit(run):
    """1 + b·dt of a damped string is 1.005, which bfloat16 rounds to 1.0078: what follows from vectors alone is computed in float32."""
    layer = RNN("damped_string", 3, 32, dtype=torch.bfloat16)
    reference = RNN("damped_string", 3, 32, dtype=torch.float64, backend="eager")
    reference.load_state_dict({name: value.double() for name, value in layer.state_dict().items()})
    x = torch.randn(40, 2, 3).bfloat16()
    found, expected = RUNS[run](layer, x), reference(x.double())[0]
    assert (found - expected).abs().max() <= TOLERANCE["schedule", torch.bfloat16] * expected.abs().max()
    if run != "prepared":
        found.float().square().mean().backward()
        expected.square().mean().backward()
        for p, q in zip(layer.parameters(), reference.parameters(), strict=True):
            assert (p.grad - q.grad).abs().max() <= TOLERANCE["schedule", torch.bfloat16] * q.grad.abs().max()

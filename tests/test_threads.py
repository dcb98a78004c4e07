"""Threads that share the units of few sequences: right with any number, and with one that goes on alone."""

import pytest
import torch

import cells
from kernels import RNN
from kernels.schedules.cpu import compiled
from kernels.schedules.cpu import threads as shares
from tests import custom
from tests.reference import agree, check, problem, solve
from tests.sampling import sample
from tests.tolerances import TOLERANCE

NAMES = ["lstm", "minimal", "gru_reset_before", "slstm", "mingru", "peephole", "nested", "crossed"]
SIZES = [(7, 2, 3, 100), (20, 1, 40, 96), (1, 1, 5, 64), (140, 2, 5, 100)]
"""T, B, D, H: one chunk of steps and several, panels that end inside a gate, inputs computed again and kept."""


def made(name):
    return custom.CELLS.get(name) or cells.load(name)


@pytest.fixture(autouse=True)
def three_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def dealt(monkeypatch):
    """The shares of each pass."""
    found, share = [], shares.share_work
    monkeypatch.setattr(compiled, "share_work", lambda inputs: (found.append(share(inputs)), found[-1])[1])
    return found


@sample("name, size", NAMES, SIZES)
def test_units(name, size, dealt):
    check([problem(made(name), *size)], "compiled", torch.float32)
    assert all(s.unit_starts is not None and len(s.unit_starts) == s.threads + 1 > 2 for s in dealt)


@sample("name, dtype", NAMES, [torch.bfloat16, torch.float64])
def test_dtypes(name, dtype, dealt):
    check([problem(made(name), 5, 2, 3, 100, dtype=dtype)], "compiled", dtype)
    assert dealt and all(s.unit_starts is not None for s in dealt)


@sample("name, size", NAMES, SIZES)
def test_one_goes_on_alone(name, size, monkeypatch):
    """From the first meeting that a thread waits at, in either pass."""
    p = problem(made(name), *size)
    expected = solve(p, "compiled", torch.float32)
    monkeypatch.setattr(shares, "find_patience", lambda *given: (-1, 0))
    agree([solve(p, "compiled", torch.float32)], [expected], TOLERANCE["two ways", torch.float32])


@torch.no_grad()
def test_prepared_calls(dealt):
    """States that products read are kept after every step, and still end where the caller's final states are."""

    def swapped(h, k, x, W):
        return W.k(k) + W.x(x), 0.5 * k + 0.1 * W.h(h)

    layer, x = RNN(swapped, 64, 64), torch.randn(6, 1, 64)
    first = layer(x)
    for _ in range(3):
        y, (h, k) = layer(x)
        assert torch.equal(y, first[0]) and torch.equal(h, first[1][0]) and torch.equal(k, first[1][1])
    assert any(s.unit_starts is not None for s in dealt)
    torch.set_num_threads(1)
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip((y, h, k), (layer(x)[0], *layer(x)[1]), strict=True))


@pytest.mark.parametrize(
    ("H", "blocks", "threads", "expected"),
    [(512, (512,), 4, [0, 128, 256, 384, 512]), (100, (), 3, [0, 32, 64, 100]), (24, (24,), 2, [0, 24]),
     (40, (10,), 4, [0, 10, 20, 30, 40]),
     (256, (256, 64), 8, [0, 32, 64, 96, 128, 160, 192, 224, 256]), (120, (30, 120), 2, [0, 120])],
)  # fmt: skip
def test_split_units(H, blocks, threads, expected):
    """At whole panels of every block."""
    assert shares.split_units(H, blocks, threads).tolist() == expected

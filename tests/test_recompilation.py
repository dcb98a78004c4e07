"""Nothing is compiled again when the sequence or the batch changes, a batch of one included: what is compiled is counted."""

import importlib.util
import subprocess

import pytest
import torch

from cells import Cell
from cells.grammar.functions import sigmoid, tanh
from kernels.schedules.cpu import library
from tests.offline import offline
from tests.reference import outputs, problem, solve

SIZES = [(2, 7), (1, 7), (3, 1), (1, 1), (16, 16), (17, 33), (9, 70), (40, 3)]
"""T, B."""


@Cell
def new(h, x, W, b):
    """A cell that nothing has built yet."""
    return sigmoid(W.a(h) + W.x(x) + b.a) * tanh(W.b(h))


@pytest.fixture
def builds(monkeypatch, tmp_path) -> list[str]:
    """The compiler's runs for a loop, with an empty cache of what it built before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    run, found = subprocess.run, []

    def counted(command, **options):
        found.extend([command] if "-shared" in command else [])
        return run(command, **options)

    monkeypatch.setattr(library.subprocess, "run", counted)
    library.build_library.cache_clear()
    yield found
    library.build_library.cache_clear()


def test_compiled(builds, tmp_path):
    """One build for every length, batch, width, mode and process; another for another dtype."""
    for T, B in SIZES:
        p = problem(new, T, B, 3 + T % 2, 4 + B % 3)
        solve(p, "compiled", torch.float32)
        with torch.no_grad():
            outputs(p, "compiled")
    assert len(builds) == 1
    library.build_library.cache_clear()
    solve(p, "compiled", torch.float32)
    assert len(builds) == 1 == len(list(tmp_path.rglob("new-*.so")))
    solve(p, "compiled", torch.float64)
    assert len(builds) == 2


@pytest.mark.full
def test_compiled_again_for_what_matters(builds, monkeypatch):
    """Another compiler's or machine's library is not taken for one's own."""
    p = problem(new, 2, 3, 4, 5)
    solve(p, "compiled", torch.float32)
    monkeypatch.setattr(library, "cpu_flags", lambda: "another one")
    library.build_library.cache_clear()
    solve(p, "compiled", torch.float32)
    assert len(builds) == 2


@pytest.mark.full
@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs triton")
def test_triton():
    """After the first sequence, every length and batch finds its kernels made."""
    for name, counts in offline("recompile", "gru_reset_before").items():
        first = counts[0][2]
        assert first > 0 and [count for _, _, count in counts] == [first] * len(counts), f"{name}: (T, B, kernels) {counts}"

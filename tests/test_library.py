"""The compiler of the CPU's loop: which one, and what it says where it fails."""

import pytest
import torch

from cells.grammar.functions import tanh
from kernels import RNN
from kernels.schedules.cpu import library

T, B, D, H = 5, 3, 4, 6


def test_compiler_that_fails(monkeypatch, tmp_path):
    """Its words are passed on."""

    def mine(h, x, W, b):
        return tanh(W.x(x) + h)

    broken = tmp_path / "g++"
    broken.write_text("#!/bin/sh\necho the compiler is broken >&2\nexit 1\n")
    broken.chmod(0o755)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(library, "compiler", lambda: str(broken))
    with pytest.raises(RuntimeError, match="could not build products:\nthe compiler is broken"):
        RNN(mine, D, H, backend="compiled")(torch.randn(T, B, D))
    assert not list(tmp_path.rglob("*.so"))


def test_compiler_of_choice(monkeypatch, tmp_path):
    """$CXX goes first, where there is such a program."""
    mine = tmp_path / "my-cxx"
    mine.touch(0o755)
    monkeypatch.setenv("CXX", str(mine))
    assert library.compiler() == str(mine)
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert library.compiler() != "no-such-compiler"
    monkeypatch.setenv("PATH", str(tmp_path))
    assert library.compiler() is None

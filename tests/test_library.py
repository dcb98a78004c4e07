"""The compiler of the CPU's loop: which one, what it says where it fails, and the products that it makes for each storage."""

import ctypes
import subprocess

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


NARROWED = {torch.bfloat16: 2**-9, torch.float16: 2**-12, torch.int8: 1 / 250}
"""The largest error of a stored value, as a part of itself, or of the largest of its row."""
MACHINES = {"this": [], "pairs": ["-DROUND_ROWS"], "widened": ["-mno-avx512bf16", "-mno-avx512f"], "plain": ["-mno-avx", "-mno-f16c"]}
"""Flags: what the machine has, its rows rounded as by AVX512-BF16, without those instructions, and without wide vectors."""
SAMPLE = {(torch.bfloat16, "pairs"), (torch.int8, "plain")}
CALL = """
extern "C" void multiply(int64_t rows, int64_t N, int64_t K, bool transposed, const real* W, const real* a, real* c) {
    char* panels = new char[packed_bytes(round_up(N, NR), K)];
    pack(transposed, N, K, W, transposed ? N : K, panels);
    product(rows, {0, N}, K, a, K, panels, nullptr, 0, c, N);
    delete[] panels;
}
"""


@pytest.mark.parametrize(
    ("storage", "machine"),
    [pytest.param(storage, machine, marks=() if (storage, machine) in SAMPLE else pytest.mark.full)
     for storage in NARROWED for machine in MACHINES],
)  # fmt: skip
def test_products(storage, machine, tmp_path):
    """A matrix that is packed narrow, odd and even sizes, rows of a stream and of a batch; inf and NaN are kept."""
    headers, stored = library.read_headers(torch.float32), f"#define STORED {library.NARROW[storage]}\n#define NARROW\n"
    text = "\n".join([headers, stored, *((library.HERE / name).read_text() for name in ("storage.h", "product.cpp")), CALL])
    (tmp_path / "products.cpp").write_text(text)
    flags = [*library.FLAGS, "-O0", *MACHINES[machine], "-shared", str(tmp_path / "products.cpp"), "-o", str(tmp_path / "products.so")]
    subprocess.run([library.compiler(), *flags], check=True)
    multiply = ctypes.CDLL(str(tmp_path / "products.so")).multiply
    for rows, N, K, transposed in [(1, 70, 33, False), (2, 64, 8, False), (7, 40, 17, storage != torch.int8)]:
        W, a, c = torch.randn(N, K), torch.randn(rows, K), torch.empty(rows, N)
        given = W.t().contiguous() if transposed else W
        pointers = [ctypes.c_void_p(t.data_ptr()) for t in (given, a, c)]
        multiply(ctypes.c_int64(rows), ctypes.c_int64(N), ctypes.c_int64(K), ctypes.c_bool(transposed), *pointers)
        sizes = a.abs() @ (W.abs() if storage != torch.int8 else W.abs().amax(1, keepdim=True).expand_as(W)).t()
        allowed = NARROWED[storage] * (2.1 if machine == "pairs" and storage == torch.bfloat16 else 1.05)
        assert ((c - a @ W.t()).abs() <= allowed * sizes).all()
        W[3, 2], W[4, 1] = float("nan"), float("inf")
        given = W.t().contiguous() if transposed else W
        pointers[0] = ctypes.c_void_p(given.data_ptr())
        multiply(ctypes.c_int64(rows), ctypes.c_int64(N), ctypes.c_int64(K), ctypes.c_bool(transposed), *pointers)
        assert c[:, 3].isnan().all() and not c[:, 4].isfinite().any() and c[:, 5:].isfinite().all()


def test_nearest_value():
    """As torch rounds, to even in a tie: a layer's own 16-bit values pass unchanged, and others go to the nearest."""
    layer, x = RNN("vanilla", 1, 64, bias=False), torch.zeros(1, 64, 64)
    values = torch.tensor([1 + 2**-8, 1 + 3 * 2**-8, 1.0, 1 + 2**-8 + 2**-20, 3e-39, -1.7, 1e-5, 0.1]).repeat(8)
    for dtype in (torch.bfloat16, torch.float16):
        with torch.no_grad(), torch.autocast("cpu", dtype=dtype):
            layer.weight_ih_l0.zero_()
            layer.weight_hh_l0.copy_(torch.diag(values))
            y, _ = layer(x[..., :1], torch.full((1, 64, 64), 1e-3))
        assert torch.allclose(y[0, 0], torch.tanh(1e-3 * values.to(dtype).float()), rtol=1e-6, atol=1e-12)

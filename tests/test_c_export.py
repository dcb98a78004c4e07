"""A layer as C: its step, compiled, is the layer's, step after step; it needs no library, and says so where it can't be written."""

import ctypes
import math
import shutil
import subprocess
from pathlib import Path

import pytest
import torch

import cells
from cells.grammar.cell import Cell
from cells.grammar.functions import exp, sigmoid, tanh
from kernels import RNN
from kernels.derive.plan import plan
from kernels.layer.c_export.c_dialect import CDialect
from tests import custom
from tests.single_thread import one_thread
from tests.tolerances import TOLERANCE

__all__ = ["one_thread"]

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-shared", "-fPIC"]
EVERY = {name: cells.load(name) for name in cells.names()} | custom.CELLS
T, D, H = 50, 5, 12
SOME = ("lstm", "slstm", "wave", "qrnn", "chosen", "smooth")
"""Cells with products of states, heads, a stencil, prev(x), choices, and the rarer functions."""


ILL = {"phased_lstm", "sine_gordon"}
"""Cells that enlarge roundings of float32 beyond the tolerance, by slopes of 40 in time and from step to step: they are in float64 here."""


def make_layer(cell: str | Cell, num_layers: int = 2, D: int = D, H: int = H, **options) -> RNN:
    torch.manual_seed(1)
    cell = EVERY.get(cell, cell)
    options = {"backend": "eager", "dtype": torch.float32, **options}
    H = plan(cell).round_up_width(H)
    return RNN(cell, H if plan(cell).elementwise_input else D, H, num_layers, **options)


def compile_all(layers: dict[str, RNN], folder: Path, compiler: str = "gcc -std=c99") -> ctypes.CDLL:
    """One library of several layers, their files in one."""
    for name, layer in layers.items():
        layer.export_c(folder, name)
    (folder / "all.c").write_text("".join(f'#include "{name}.c"\n' for name in layers))
    subprocess.run([*compiler.split(), *STRICT, str(folder / "all.c"), "-o", str(folder / "all.so")], check=True)
    return ctypes.CDLL(str(folder / "all.so"))


def run(library: ctypes.CDLL, name: str, x: torch.Tensor, width: int = H) -> torch.Tensor:
    """The outputs of each step of x (T, D), from what `reset` makes of a state that holds NaN."""
    state = (ctypes.c_uint64 * 4096)(*[2**64 - 1] * 4096)
    y = x.new_full((len(x), width), math.nan)
    getattr(library, f"{name}_reset")(state)
    for x_t, y_t in zip(x, y, strict=True):
        getattr(library, f"{name}_step")(state, ctypes.c_void_p(x_t.data_ptr()), ctypes.c_void_p(y_t.data_ptr()))
    return y


def agree(library: ctypes.CDLL, name: str, layer: RNN) -> None:
    steps = 10 if layer.plan.reduces_states else T  # norms of few units amplify what is rounded
    x = torch.randn(steps, layer.input_size, dtype=next(layer.parameters()).dtype)
    with torch.no_grad():
        expected = layer(x)[0]
    error = (run(library, name, x, layer.hidden_size) - expected).abs().max() / expected.abs().max()
    assert error <= TOLERANCE["exported C", x.dtype], f"{name}: {error:.1e}"


@pytest.fixture(scope="module")
def every(tmp_path_factory):
    kinds = {name: {"dtype": torch.float64} if name in ILL else {} for name in EVERY}
    layers = {name: make_layer(name, 2 if name in SOME else 1, **kinds[name]) for name in EVERY}
    return layers, compile_all(layers, tmp_path_factory.mktemp("every"))


def test_every_cell_is_its_layer(every):
    layers, library = every
    for name, layer in layers.items():
        agree(library, name, layer)


def test_large_inputs(every):
    """Finite where the layer is, NaN where it is NaN, and infinite where it is infinite."""
    layers, library = every
    for name, layer in layers.items():
        x = 1e4 * torch.randn(T, layer.input_size, dtype=next(layer.parameters()).dtype)
        x[T - 2, 0] = math.nan
        with torch.no_grad():
            expected = layer(x)[0]
        found = run(library, name, x, layer.hidden_size)
        assert torch.equal(found.isnan(), expected.isnan()), name
        assert torch.equal(found.isinf(), expected.isinf()), name


@pytest.mark.parametrize(
    ("compiler", "names"),
    [("gcc -std=c99 -O2", SOME), ("gcc -std=gnu17 -O3 -march=native", SOME[:1]), ("g++ -std=c++11 -O0 -x c++", ("gru", *SOME[3:]))],
)
def test_compilers(compiler, names, tmp_path):
    layers = {name: make_layer(name, 1) for name in names}
    library = compile_all(layers, tmp_path, compiler)
    for name, layer in layers.items():
        agree(library, name, layer)


def test_sizes(tmp_path):
    """Panels of each number of rows, rows and columns that no panel divides, and heads of one unit."""
    sizes = [(1, 1), (2, 3), (7, 33), (64, 64), (65, 20)]
    layers = {f"{name}_{d}_{h}": make_layer(name, 1, d, h) for name in ("gru_reset_before",) for d, h in sizes}
    layers |= {f"slstm_{h}": make_layer("slstm", 1, 3, h) for h in (4, 36)} | {f"wave_{h}": make_layer("wave", 2, 2, h) for h in (1, 7)}
    library = compile_all(layers, tmp_path)
    for name, layer in layers.items():
        agree(library, name, layer)


def test_no_library_and_vector_code(tmp_path):
    """Nothing is called but what compilers make of a loop that copies; and the loops of the step become vector code."""
    path, *_ = make_layer("lstm").export_c(tmp_path)
    done = subprocess.run(
        ["gcc", "-O2", "-fopt-info-vec", "-c", str(path), "-o", f"{tmp_path}/o"], check=True, capture_output=True, text=True
    )
    called = subprocess.run(["nm", "-u", f"{tmp_path}/o"], check=True, capture_output=True, text=True).stdout
    assert {*called.split()} <= {"U", "memcpy", "memmove", "memset"}
    lines = path.read_text().splitlines()
    looped = {k + 1 for k, line in enumerate(lines) if "for (int j" in line and "lstm_next_states" in lines[min(k + 2, len(lines) - 1)]}
    assert len(looped) == 2 and all(f"{path}:{k}:" in done.stderr for k in looped)


def test_double_precision_and_no_bias(tmp_path):
    layers = {name: make_layer(name, 1, bias=False, dtype=torch.float64) for name in (*SOME, "minimal", "learned_bias")}
    library = compile_all(layers, tmp_path)
    for name, layer in layers.items():
        agree(library, name, layer)


def test_names_and_numbers_that_c_has_not(tmp_path):
    """Keywords, names of macros and functions, letters beyond ASCII, and numbers that are not finite."""

    def step(double, v_tanh, θ, x, W, b, p):
        linux = sigmoid(W.int(double) + W.θ(x) + b.NAN)
        return linux * tanh(v_tanh + p.register) + exp(-θ), θ + 0.1 * linux, θ

    layer = make_layer(Cell(step, start={"θ": math.inf, "v_tanh": -0.25}))
    with torch.no_grad():
        layer.bias_register_l0[0] = math.inf
    agree(compile_all({"v": layer}, tmp_path, "gcc -std=gnu17"), "v", layer)


def test_constants_come_back_as_they_are():
    values = torch.tensor([0.1, 1.0, -0.0, 1e-45, 3.4028235e38, math.pi, math.inf, -math.inf, math.nan])
    texts = CDialect("a", torch.float32).write_numbers(values)
    assert texts[-3:] == ["INFINITY", "-INFINITY", "NAN"] and all(text.endswith("f") for text in texts[:-3])
    assert torch.equal(torch.tensor([float(text[:-1]) for text in texts[:-3]], dtype=torch.float64).float(), values[:-3])
    assert texts[:3] == ["0.1f", "1.0f", "-0.0f"]


def test_output_in_the_place_of_the_input(tmp_path):
    layer = make_layer("sru")
    library = compile_all({"sru": layer}, tmp_path)
    x, state = torch.randn(H), (ctypes.c_uint64 * 4096)()
    expected = run(library, "sru", x[None])[0]
    library.sru_reset(state)
    library.sru_step(state, ctypes.c_void_p(x.data_ptr()), ctypes.c_void_p(x.data_ptr()))
    assert torch.equal(x, expected)


def test_the_example(tmp_path):
    layer = make_layer("gru")
    paths = layer.export_c(tmp_path / "new")
    assert [path.name for path in paths] == ["gru.c", "gru.h", "gru_main.c"]
    subprocess.run(["gcc", "-std=c99", *STRICT[:4], str(paths[0]), str(paths[2]), "-o", f"{tmp_path}/gru"], check=True)
    x = torch.randn(3, D)
    given = " ".join(map(str, x.flatten().tolist()))
    done = subprocess.run([f"{tmp_path}/gru"], input=given, capture_output=True, text=True, check=True)
    found = torch.tensor([[float(v) for v in line.split()] for line in done.stdout.splitlines()])
    assert (found - layer(x)[0]).abs().max() < 1e-6
    for wrong in (given + " 1", given + " one"):
        assert "5 numbers for each time step" in subprocess.run([f"{tmp_path}/gru"], input=wrong, capture_output=True, text=True).stderr


@pytest.mark.parametrize(
    ("layer", "name", "says"),
    [
        (lambda: make_layer("gru", bidirectional=True), "", "one direction"),
        (lambda: make_layer("gru").half(), "", "float32 or float64, not in float16"),
        (lambda: make_layer("gru"), "a-b", "letters, digits and underscores"),
        (lambda: make_layer("gru"), "_a", "begins with a letter"),
    ],
)
def test_what_can_not_be_written(layer, name, says, tmp_path):
    with pytest.raises(ValueError, match=says):
        layer().export_c(tmp_path, name)
    assert not list(tmp_path.iterdir())

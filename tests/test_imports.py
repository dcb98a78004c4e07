"""What a layer brings along: torch, and neither a compiler, nor algebra, nor a schema, until somebody asks for one."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from kernels import RNN
from tests.absent import without
from tests.sampling import in_full

ROOT = Path(__file__).parents[1]
HEAVY = ("pydantic", "pydantic_core", "torch._dynamo", "sympy", "scipy")
"""Each takes longer to import than all of cells and kernels."""

TRAINED = """
import torch
from kernels import RNN
for cell in ("lstm", "qrnn", "klein_gordon"):
    x = torch.randn(3, 2, 4, requires_grad=True)
    RNN(cell, 4, 4)(x)[0].sum().backward()
    with torch.autocast("cpu"):
        RNN(cell, 4, 4)(x, lengths=[3, 1])
"""


@pytest.mark.parametrize(
    "code",
    [in_full("import kernels"), "from kernels import RNN", in_full(TRAINED)],
    ids=["package", "layer", "trained"],
)
def test_nothing_heavy_is_imported(code):
    script = f"{code}\nimport sys\nprint(*sorted({set(HEAVY)} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []


@pytest.mark.full
def test_a_layer_needs_torch_and_numpy_alone():
    """Of what `pyproject.toml` lists; SymPy is one that torch itself asks for, in its compiler."""
    absent = ("pydantic", "scipy", "sympy", "filelock", "click", "rich", "matplotlib", "tabulate", "markdown_it", "jinja2", "triton")
    done = subprocess.run([sys.executable, "-c", without(*absent) + TRAINED], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


LOADED = """
import sys, torch
import kernels
program, x, y = sys.argv[1:]
torch.testing.assert_close(torch.export.load(program).module()(torch.load(x)), torch.load(y))
"""


class First(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = RNN("lstm", 4, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.rnn(x)[0]


@pytest.mark.parametrize("strict", [in_full(False), in_full(True)], ids=["traced", "by Dynamo"])
def test_an_exported_program_loads_where_the_package_alone_was_imported(tmp_path, strict):
    layer, x = First().eval(), torch.randn(5, 2, 4)
    files = [str(tmp_path / name) for name in ("program.pt2", "x.pt", "y.pt")]
    program = torch.export.export(layer, (x,), strict=strict)
    torch.export.save(program, files[0])
    torch.save(x, files[1])
    torch.save(program.module()(x), files[2])
    done = subprocess.run([sys.executable, "-c", LOADED, *files], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr

"""The shape of the tree: imports run one way, rendering needs neither torch nor triton, files stay small enough to read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.absent import without

ROOT = Path(__file__).parents[1]
PACKAGES = ("cells", "kernels", "bench")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
RENDERING = [
    "bench.analysis.median_ci",
    "bench.analysis.summary",
    "bench.analysis.verdict",
    "bench.analysis.roofline",
    "bench.analysis.training_metrics",
    "bench.records",
    "bench.analysis.comparison",
    "bench.analysis.history",
    *(f"bench.{folder}.{path.stem}" for folder in ("render", "site") for path in (ROOT / "bench" / folder).glob("[!_]*.py")),
]
ABOVE = {"cells": ("kernels", "bench"), "kernels": ("bench",), "bench": ()}
"""What a package may not import."""


def name(path: Path) -> str:
    """A file's module: kernels/derive/plan.py is kernels.derive.plan."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, wherever in it, with the packages it is in."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: imports are written out"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


MODULES = {name(path): {found.split(".")[0] for found in imports(path)} for path in FILES}
OURS = {name(path): {found for found in imports(path) if found in {name(p) for p in FILES}} for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=name)
def test_imports_run_one_way(path):
    """cells ← kernels ← bench."""
    assert not MODULES[name(path)] & set(ABOVE[name(path).split(".")[0]])


def reached(module: str) -> set[str]:
    """The module and all of ours that it imports, directly or not."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {m for n in new for m in OURS[n]} - found
    return found


@pytest.mark.parametrize("module", RENDERING)
def test_rendering_stands_alone(module):
    """What turns records into a report imports neither torch nor triton, nor any module of ours that does."""
    for m in reached(module):
        assert not MODULES[m] & {"torch", "triton", "cells", "kernels"}, f"{module} reaches {m}"


def test_rendering_where_nothing_else_is():
    """The same, tried: with torch and triton out of reach."""
    script = without("torch", "triton") + f"import {', '.join(RENDERING)}"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_cells_need_no_triton():
    """Nor do the kernels, but for the schedules written in it."""
    for module, found in MODULES.items():
        if not module.startswith(("kernels.schedules.", "kernels.schedules.compile_for", "bench.")):
            assert "triton" not in found, module


WITHOUT_TRITON = """
import sys, warnings
sys.modules["triton"] = None
import torch, bench.cli
from kernels import RNN
x = torch.randn(2, 1, 3)
warnings.simplefilter("error")
print(RNN("lstm", 3, 4)(x)[0].shape)
try:
    RNN("lstm", 3, 4, backend="stepwise")(x)
except RuntimeWarning as said:
    print(said)
"""


def test_everything_but_triton_works_without_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 1, 4])" in done.stdout and "needs triton, which is not installed" in done.stdout


@pytest.mark.parametrize("path", FILES, ids=name)
def test_files_are_small(path):
    assert len(path.read_text().splitlines()) <= 300


def test_modules_are_named_for_what_they_own():
    assert not [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")]


@pytest.mark.parametrize("path", FILES, ids=name)
def test_every_file_says_what_it_is(path):
    assert ast.get_docstring(ast.parse(path.read_text()))

"""The shape of the tree: imports run one way, rendering needs neither torch nor triton, files stay small enough to read."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.absent import without

ROOT = Path(__file__).parents[1]
PACKAGES = ("cells", "kernels", "bench")
FILES = [path for package in PACKAGES for path in sorted((ROOT / package).rglob("*.py"))]
ORDER = (
    "cells.grammar", "cells",
    "kernels.derive", "kernels.schedules", "kernels.schedules.cpu", "kernels.schedules.stepwise", "kernels.schedules.persistent",
    "kernels.schedules.scan", "kernels.schedules.stencil", "kernels.schedules.newton", "kernels.layer", "kernels",
    "bench.missing", "bench.errors", "bench.records", "bench.analysis", "bench.render", "bench.site", "bench.measure",
    "bench.studies.signals", "bench.studies.training", "bench.studies.scaling", "bench.harness", "bench.commands", "bench.cli",
    "bench.__main__",
)  # fmt: skip
"""A module imports from its own room and from those before it. A room is a folder, with those in it that aren't named here; a file at the
top of bench/ is one of its own."""
RENDERING = [
    "bench.records",
    *(f"bench.{room}.{path.stem}" for room in ("analysis", "render", "site") for path in (ROOT / "bench" / room).glob("[!_]*.py")),
]
"""What turns records into a report."""
ACROSS = (
    "architecture", "browser", "cuda_driver", "docs_code", "equation_properties", "examples", "golden", "gpu", "host_bound", "imports",
    "interruption", "links", "low_memory", "names", "oldest_versions", "papers", "planted", "printed_source", "pytest_benchmark",
    "recompilation", "reference", "rehearsal", "sampling", "tasks", "torch_func", "torch_nn", "tutorial", "wave_benchmark", "wheel",
    "wrong_cells", "wrong_waves",
)  # fmt: skip
"""Test files of a property that several modules have together. Every other one is named after the module, or the folder, that it tests."""


def name(path: Path) -> str:
    """A file's module: kernels/derive/plan.py is kernels.derive.plan."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports when it runs, wherever in it, with the packages it is in."""
    tree = ast.parse(path.read_text())
    checked = [n for n in ast.walk(tree) if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING"]
    left_out = {id(n) for branch in checked for n in ast.walk(branch)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name(path)}: imports are written out"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@cache
def imported() -> dict[str, set[str]]:
    """Returns the imports of each of our modules: reading all files takes seconds, which every process that collects tests would pay."""
    return {name(path): {*imports(path)} for path in FILES}


def ours() -> dict[str, set[str]]:
    return {module: found & imported().keys() for module, found in imported().items()}


def packages(module: str) -> set[str]:
    """The packages that a module imports from."""
    return {found.split(".")[0] for found in imported()[module]}


def room(module: str) -> str:
    """The innermost room that a module is in."""
    return max((r for r in ORDER if f"{module}.".startswith(f"{r}.")), key=len)


def test_imports_run_one_way():
    upward = [
        f"{m} imports {n}" for m, found in ours().items() for n in found if m != "bench" if ORDER.index(room(n)) > ORDER.index(room(m))
    ]
    assert not upward


def test_no_modules_import_each_other():
    """Nor in a longer circle; a package counts as the modules that are in it only where its own file imports them."""
    exact = {m: {n for n in found if not any(other.startswith(f"{n}.") for other in found)} for m, found in ours().items()}
    assert not [m for m in exact if m in {n for first in exact[m] for n in reached(first, exact)}]


def test_the_top_of_bench_is_short():
    entries = [path for path in (ROOT / "bench").iterdir() if path.name != "__pycache__"]
    assert len([path for path in entries if path.is_dir()]) == 8 and len([path for path in entries if path.is_file()]) <= 5


def test_a_stem_is_one_module_of_a_package():
    for package in PACKAGES:
        stems = [path.stem for path in FILES if path.is_relative_to(ROOT / package) and path.stem not in ("__init__", "__main__")]
        assert sorted({stem for stem in stems if stems.count(stem) > 1}) == []


def reached(module: str, imported: dict[str, set[str]]) -> set[str]:
    """The module and all of ours that it imports, directly or not."""
    found, new = set(), {module}
    while new:
        found |= new
        new = {m for n in new for m in imported[n]} - found
    return found


def test_rendering_stands_alone():
    """What turns records into a report imports neither torch nor triton, nor any module of ours that does."""
    for module in RENDERING:
        for m in reached(module, ours()):
            assert not packages(m) & {"torch", "triton", "cells", "kernels"}, f"{module} reaches {m}"


def test_rendering_where_nothing_else_is():
    """The same, tried: with torch and triton out of reach."""
    script = without("torch", "triton") + f"import {', '.join(RENDERING)}"
    subprocess.run([sys.executable, "-c", script], cwd=ROOT, check=True)


def test_cells_need_no_triton():
    """Nor do the kernels, but for the schedules written in it."""
    for module in imported():
        if not module.startswith(("kernels.schedules.", "kernels.schedules.compile_for", "bench.")):
            assert "triton" not in packages(module), module


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


@pytest.mark.full
def test_everything_but_triton_works_without_it():
    done = subprocess.run([sys.executable, "-c", WITHOUT_TRITON], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "torch.Size([2, 1, 4])" in done.stdout and "needs triton, which is not installed" in done.stdout


def test_files_are_small():
    assert [name(path) for path in FILES if len(path.read_text().splitlines()) > 300] == []


TESTS = sorted((ROOT / "tests").glob("test_*.py"))


def test_test_files_are_small():
    assert [path.name for path in (ROOT / "tests").rglob("*.py") if len(path.read_text().splitlines()) > 300] == []


def test_test_files_are_named_after_what_they_test():
    """A module, with `gpu_` in front where it is on a GPU, or with its package where two packages have one of that name."""
    stems = [{part for p in FILES if p.is_relative_to(ROOT / package) for part in (p.stem, p.parent.name)} for package in PACKAGES]
    modules = {stem if sum(stem in others for others in stems) == 1 else f"{package}_{stem}"
               for package, found in zip(PACKAGES, stems, strict=True) for stem in found}  # fmt: skip
    names = {path.stem.removeprefix("test_") for path in TESTS}
    assert names - {*ACROSS} - modules - {f"gpu_{module}" for module in modules} == set()
    assert {*ACROSS} - names == set()


def test_modules_are_named_for_what_they_own():
    assert not [path for path in FILES if path.stem in ("utils", "util", "helpers", "common", "misc")]


def test_every_file_says_what_it_is():
    assert [name(path) for path in FILES if not ast.get_docstring(ast.parse(path.read_text()))] == []

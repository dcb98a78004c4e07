"""Replaced names (tests/names.py) are defined nowhere under their path: a word has one meaning, and no two words mean the same."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.names import BENCH, SECTIONS

ROOT = Path(__file__).parents[1]


def definitions(path: Path) -> Iterator[str]:
    """Every name that a file defines: itself, its classes, functions and parameters, and the fields of classes and modules."""
    yield path.stem
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.name
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.alias) and node.asname:
            yield node.asname
        if isinstance(node, (ast.ClassDef, ast.Module)):
            for statement in node.body:
                targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
                yield from (target.id for target in targets if isinstance(target, ast.Name))


@pytest.mark.parametrize("folder", SECTIONS)
def test_replaced_names_stay_away(folder):
    defined = {str(path.relative_to(ROOT)): {*definitions(path)} for path in sorted((ROOT / folder).rglob("*.py"))}
    assert [
        (path, name) for prefix, name in SECTIONS[folder] for path, names in defined.items()
        if (path == prefix or path.startswith(f"{prefix}/")) and name in names
    ] == []  # fmt: skip


def below_bench() -> Iterator[tuple[str, str]]:
    """The module of every function, class and field, and its name."""
    for path in sorted((ROOT / "bench").rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / "bench").with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield module, node.name
                fields = node.body if isinstance(node, ast.ClassDef) else []
                yield from ((module, f.target.id) for f in fields if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name))


def test_replaced_names_of_the_benchmark_stay_away():
    found = set(below_bench())
    assert not [f"{m}: {n} is {new} now" for m, n in sorted(found) for old, new in BENCH.items() if fnmatchcase(f"{m}:{n}", old)]


def test_definitions_are_found(tmp_path):
    """Each kind, and no local variable."""
    path = tmp_path / "module.py"
    path.write_text(
        "import a as b\nC: int = 1\nd = 2\n\n\nclass E:\n    f: int\n\n    def g(self, h, *, i=1):\n        j = 3\n        return j\n"
    )
    assert {*definitions(path)} == {"module", "b", "C", "d", "E", "f", "g", "self", "h", "i"}

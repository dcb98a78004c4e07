"""What is defined has the plain name, not one of old."""

import ast
from collections.abc import Iterator
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.names import NAMES

ROOT = Path(__file__).parents[1]


def defined(package: str) -> Iterator[tuple[str, str]]:
    """The module, below its package, and the name of every function, class and field."""
    for path in sorted((ROOT / package).rglob("*.py")):
        module = ".".join(path.relative_to(ROOT / package).with_suffix("").parts)
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield module, node.name
                fields = node.body if isinstance(node, ast.ClassDef) else []
                yield from ((module, f.target.id) for f in fields if isinstance(f, ast.AnnAssign) and isinstance(f.target, ast.Name))


@pytest.mark.parametrize("package", NAMES)
def test_no_name_of_old(package):
    known = NAMES[package].items()
    found = {(module, name) for module, name in defined(package)}
    assert not [f"{m}: {n} is {new} now" for m, n in sorted(found) for old, new in known if fnmatchcase(f"{m}:{n}", old)]

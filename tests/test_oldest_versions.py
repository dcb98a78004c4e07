"""The oldest versions that are allowed, which `make test-oldest` installs: read from pyproject.toml, and from there alone."""

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "pyproject.toml").read_text()


@pytest.fixture
def oldest() -> ModuleType:
    spec = importlib.util.spec_from_file_location("oldest", ROOT / ".ci" / "oldest.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_package_is_held_to_its_lower_bound(oldest):
    """Those of a run, and those of the extras that the target installs, with none that the tests use left out."""
    project = tomllib.loads(TEXT)["project"]
    installed = re.search(r"^TESTED := \.\[(.+)\]$", (ROOT / "Makefile").read_text(), re.M)
    assert installed and set(installed[1].split(",")) <= set(oldest.USED) <= set(project["optional-dependencies"])
    lines = project["dependencies"] + [line for extra in installed[1].split(",") for line in project["optional-dependencies"][extra]]
    assert {re.split(r"[^\w-]", line)[0] for line in lines} <= oldest.oldest(TEXT).keys()


def test_a_bound_follows_the_project(oldest):
    assert oldest.oldest(TEXT)["torch"] == "2.11" and oldest.oldest(TEXT)["triton"] == "3.6"
    assert oldest.oldest(TEXT.replace('"torch>=2.11"', '"torch>=2.12,<3"'))["torch"] == "2.12"


@pytest.mark.parametrize("line", ["numpy", "numpy<3", "numpy==2.0"])
def test_a_package_without_a_bound_is_a_fault(oldest, line):
    with pytest.raises(ValueError, match="is not NAME>=VERSION"):
        oldest.oldest(re.sub(r'"numpy>=[\d.]+"', f'"{line}"', TEXT))


def test_two_bounds_for_one_package_are_a_fault(oldest):
    with pytest.raises(ValueError, match="one version for each name"):
        oldest.oldest(TEXT.replace('tasks = ["scikit-learn>=', 'tasks = ["scikit-learn>=9.'))


def test_the_versions_that_were_tested_are_no_older(oldest):
    tested = dict(re.findall(r"^([\w-]+)==([\w.]+)", (ROOT / "constraints.txt").read_text(), re.M))
    for name, version in oldest.oldest(TEXT).items():
        if name in tested:
            assert [*map(int, version.split("."))] <= [*map(int, tested[name].split(".")[:4])], name

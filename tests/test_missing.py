"""`python -m bench` where a package isn't installed: one line, which names it and the fix."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from bench import missing
from tests.absent import without

ROOT = Path(__file__).parents[1]
START = "import runpy, sys\nsys.argv = ['bench', *sys.argv[1:]]\nrunpy.run_module('bench', run_name='__main__')"


def bench(absent: tuple[str, ...], *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-c", without(*absent) + START, *arguments], cwd=ROOT, capture_output=True, text=True)


@pytest.mark.parametrize(
    ("absent", "named"),
    [
        (("pydantic", "pydantic_core"), "pydantic"),
        (("pydantic_core",), "pydantic_core"),
        (("click", "markdown_it"), "click, markdown-it-py"),
        (("torch",), "torch"),
    ],
)
@pytest.mark.parametrize("verb", [("doctor",), ("campaign", "--budget", "9m")], ids=" ".join)
def test_one_line_that_names_what_is_missing(absent, named, verb):
    done = bench(absent, *verb)
    assert done.returncode == 2, done.stderr
    (line,) = done.stderr.splitlines()
    assert line.startswith(f"bench: not installed here: {named}. ")
    assert f"pip install {named.replace(',', '')} " in line


@pytest.mark.full
def test_what_a_verb_alone_needs():
    """Imported when the verb runs, and not before."""
    assert "markdown-it-py" not in bench(("markdown_it",), "list").stderr
    done = bench(("markdown_it",), "publish")
    assert done.returncode == 2 and done.stderr.startswith("bench: not installed here: markdown-it-py. ")


def test_a_module_of_our_own_is_no_package():
    assert missing.explain_missing(ModuleNotFoundError("No module named 'bench.nowhere'", name="bench.nowhere")) is None
    assert missing.explain_missing(ModuleNotFoundError("raised by hand")) is None


def test_the_names_are_those_of_the_project():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    assert {re.split(r"[^\w-]", line)[0] for line in listed} - {"triton"} == set(missing.NEEDED.values())
    assert all(map(missing.is_installed, missing.NEEDED))

"""The project as a wheel, imported where its tree is not."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
USED = """
import sys, torch
from pathlib import Path
import bench, cells, kernels
from kernels import RNN
assert all(Path(m.__file__).is_relative_to(sys.argv[1]) for m in (bench, cells, kernels))
y, h = RNN("minimal", 3, 4)(torch.randn(5, 2, 3, requires_grad=True))
y.sum().backward()
assert RNN("minimal", 3, 4).plan and len(cells.names()) > 8
"""


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Where the wheel is unpacked: what pip would put into site-packages."""
    pytest.importorskip("hatchling")
    folder = tmp_path_factory.mktemp("wheel")
    build = ["wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--wheel-dir", str(folder), str(ROOT)]
    subprocess.run([sys.executable, "-m", "pip", *build], check=True, cwd=folder)
    (wheel,) = folder.glob("recurrent_bench-*.whl")
    with zipfile.ZipFile(wheel) as held:
        held.extractall(folder / "site")
    return folder / "site"


def run(installed: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    """Python with the wheel before everything else, in a folder that holds nothing."""
    place = installed.parent / "elsewhere"
    place.mkdir(exist_ok=True)
    given = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(installed)!r}); " + command[0], *command[1:]]
    return subprocess.run(given, cwd=place, capture_output=True, text=True, check=False)


def test_what_it_holds(installed):
    """The packages whole, what is no Python in them too, and nothing else."""
    held = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file() and ".dist-info" not in str(path)}
    tracked = subprocess.run(["git", "ls-files", "cells", "kernels", "bench"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(tracked.stdout.split()) <= held
    assert {name.split("/")[0] for name in held} == {"cells", "kernels", "bench"}
    assert any(name.endswith("cpu/loop.cpp") for name in held)


@pytest.mark.full
def test_a_layer(installed):
    """Fused on a CPU, which wants the C++ that the wheel carries."""
    done = run(installed, USED, str(installed))
    assert done.returncode == 0, done.stderr


@pytest.mark.full
def test_the_command_line(installed):
    done = run(installed, "from bench.cli import main; main()", "list")
    assert done.returncode == 0 and "minimal" in done.stdout, done.stderr

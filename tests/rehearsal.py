"""A campaign's folder for a rehearsal: a copied tree, a bundle made elsewhere and unpacked, and what runs in them on a pretended GPU."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import cells
from bench.harness.bundle.kernel_list import KernelWork, format_lines
from bench.harness.bundle.pack import FOLDER
from bench.measure.problem import DTYPES
from kernels.derive.plan import plan
from kernels.schedules.persistent.tiling import DIRECTIONS, H100, Pass, rank_tilings
from tests import standin
from tests.pretended.seam import LIBRARY, SIZES

ROOT = Path(__file__).parents[1]
VARIABLE = "REHEARSAL_PYTHON"
"""Names the Python of an environment like that of the machine with the GPU, which has neither this project nor its wheels."""


@dataclass(frozen=True)
class Place:
    """A folder with the copied tree, what Python runs there, and the variables that the unpacked bundle asks for."""

    folder: Path
    python: str
    variables: dict[str, str]

    @property
    def tree(self) -> Path:
        return self.folder / "tree"

    @property
    def commit(self) -> str:
        """That of the bundle."""
        return json.loads((self.folder / FOLDER / "commit.json").read_text())["commit"]

    def bench(self, *arguments: object, **more: str) -> subprocess.CompletedProcess[str]:
        """`python -m bench` on the pretended GPU."""
        paths = (self.tree / "tests" / "pretended" / "site", self.variables["PYTHONPATH"], self.tree)
        pretended = {
            "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTEST_PLUGINS": "tests.pretended.collected", "TRITON_INTERPRET": "1",
            LIBRARY: str(self.folder / "libcuda.so.1"), "OMP_NUM_THREADS": "1", "TMPDIR": str(self.folder),
        }  # fmt: skip
        command = [self.python, "-m", "bench", *map(str, arguments)]
        return subprocess.run(command, cwd=self.tree, env=plain() | self.variables | pretended | more, capture_output=True, text=True)


def plain() -> dict[str, str]:
    """The environment, without what tests set in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("TRITON_", "RECURRENT_", "PYTEST_", "PYTHONPATH"))}


def prepared(folder: Path) -> Place:
    """A place in an empty folder: its bundle is made by this Python, with wheels if another one is to run there."""
    other = os.environ.get(VARIABLE, "")
    for name in ("cells", "kernels", "bench", "tests"):
        shutil.copytree(ROOT / name, folder / "tree" / name, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder / "tree")
    standin.build(folder)
    (folder / "list.jsonl").write_text(format_lines(works()))
    options = ("--list", folder / "list.jsonl", "--cache", folder / "cache", "--out", folder / "b.tar.gz", "--processes", "2")
    ran(folder, sys.executable, "-m", "bench", "bundle", *options, *([] if other else ["--no-wheels"]), cwd=ROOT)
    shutil.rmtree(folder / "cache")
    ran(folder, "tar", "xzf", "b.tar.gz")
    python = other or sys.executable
    printed = ran(folder, python, "-I", "-S", folder / FOLDER / "unpack.py").splitlines()
    exported = [shlex.split(line)[1].split("=", 1) for line in printed]
    return Place(folder, python, {name: value for name, value in exported})


def ran(folder: Path, *command: object, cwd: Path | None = None) -> str:
    done = subprocess.run([*map(str, command)], cwd=cwd or folder, env=plain(), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def works() -> list[KernelWork]:
    """List what a rehearsal tunes in float16: the first tile configuration of each pass."""
    return [
        KernelWork(
            "persistent", cell, B, H, dtype, direction, rank_tilings(Pass(plan(cells.load(cell)), direction, B, H, DTYPES[dtype]), H100)[0]
        )
        for cell, _, B, _, H, dtype in SIZES["headline"]
        for direction in DIRECTIONS
    ]


def objects(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]

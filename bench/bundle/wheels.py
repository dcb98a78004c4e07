"""The wheels that a machine lacks, and what they require in turn, as `pip` finds them for its Python."""

import importlib.metadata
import json
import platform
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from bench.settings import SettingsError

ROOT = Path(__file__).parents[2]
THERE = (
    "torch", "triton", "numpy", "rich", "tabulate", "click", "filelock", "scipy", "sympy", "matplotlib", "jinja2", "nvidia-ml-py",
)  # fmt: skip
"""What an image for deep learning has, with what these require. Of that only what has the right version is of use: what is missing
here asks for it again."""


def plain(name: str) -> str:
    """A package's name as it is compared: of "Jinja2>=3.1; …" jinja2."""
    found = re.match(r"[A-Za-z0-9._-]+", name.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def lacking(there: Iterable[str]) -> list[str]:
    """What the project depends on and a machine with these packages lacks, as it is required. What the packages require themselves is
    there too; it is read from the environment that runs this."""
    have: set[str] = set()
    new = {plain(name) for name in there}
    while new:
        have |= new
        new = {plain(text) for name in new for text in required(name) if "extra ==" not in text} - have
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [text for text in project["dependencies"] if plain(text) not in have]


def required(name: str) -> list[str]:
    try:
        return importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []


def download(requirements: Iterable[str], there: Iterable[str], folder: Path) -> list[Path]:
    """Fetch wheels of the requirements and all that they require, but for what is there, for the Python that runs this on Linux with
    glibc. The versions are those that were tested."""
    wanted = list(requirements)
    if not wanted:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    machine = platform.machine()
    where = [f"--platform=manylinux{glibc}_{machine}" for glibc in ("_2_28", "_2_17", "2014")]
    where += [f"--python-version={sys.version_info.major}.{sys.version_info.minor}", "--only-binary=:all:"]
    where += ["-c", str(ROOT / "constraints.txt"), "-qq", "--disable-pip-version-check"]
    have = {plain(name) for name in there}
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        resolve = ["--dry-run", "--ignore-installed", "--report", str(report), "--target", str(Path(scratch) / "none")]
        pip("install", *resolve, *where, *wanted)
        found = [entry["metadata"] for entry in json.loads(report.read_text())["install"]]
    chosen = [f"{entry['name']}=={entry['version']}" for entry in found if plain(entry["name"]) not in have]
    pip("download", "--no-deps", "-d", str(folder), *where, *chosen)
    return sorted(folder.glob("*.whl"))


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise SettingsError(f"pip can't fetch the wheels that are lacking ({last}): name what is there with --there, or pass --no-wheels")

"""The wheels that a machine lacks, and what they require in turn, as `pip` finds them for the Python that runs this."""

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
from typing import Any

from bench.errors import UsageError

ROOT = Path(__file__).parents[3]
THERE = (
    "torch", "triton", "numpy", "rich", "tabulate", "click", "filelock", "scipy", "sympy", "matplotlib", "jinja2", "nvidia-ml-py",
)  # fmt: skip
"""What an image with torch has, each of a version that will do."""


def plain(name: str) -> str:
    """A package's name as it is compared: of "Typing_Extensions>=4; …" typing-extensions."""
    found = re.match(r"[A-Za-z0-9._-]+", name.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def lacking(there: Iterable[str]) -> list[str]:
    """What the project depends on and a machine with these packages lacks, as pyproject.toml has it. What the packages require is there
    with them; that is read from the environment that runs this."""
    have: set[str] = set()
    new = {plain(name) for name in there}
    while new:
        have |= new
        new = {plain(text) for name in new for text in required(name)} - have
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [text for text in project["dependencies"] if plain(text) not in have]


def required(name: str) -> list[str]:
    """What an installed package requires, without its extras."""
    try:
        found = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [text for text in found if "extra ==" not in text]


def download(wanted: Iterable[str], there: Iterable[str], folder: Path) -> list[Path]:
    """Fetch wheels of what is wanted and of all that it requires, but for what is there, in the versions that were tested."""
    found, known = set[str](), {plain(name) for name in there}
    todo = [text for text in wanted if plain(text) not in known]
    while todo:
        known |= {plain(text) for text in todo}
        entries = resolved(todo)
        found |= {f"{entry['name']}=={entry['version']}" for entry in entries}
        todo = [text for entry in entries for text in entry.get("requires_dist", []) if plain(text) not in known]
    if found:
        pip("download", "-d", str(folder), *target(), *sorted(found))
    return sorted(folder.glob("*.whl"))


def target() -> list[str]:
    """Options of pip: no sources, and for this Python on Linux with glibc."""
    where = [f"--platform=manylinux{glibc}_{platform.machine()}" for glibc in ("_2_28", "_2_17", "2014")]
    version = f"--python-version={sys.version_info.major}.{sys.version_info.minor}"
    return [*where, version, "--only-binary=:all:", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-qq", "--disable-pip-version-check"]


def resolved(requirements: Iterable[str]) -> list[dict[str, Any]]:
    """The metadata of the packages that pip takes for these. One whose marker isn't true here it leaves out."""
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        nowhere = ["--dry-run", "--ignore-installed", "--report", str(report), "--target", str(Path(scratch) / "none")]
        pip("install", *nowhere, *target(), *requirements)
        return [entry["metadata"] for entry in json.loads(report.read_text())["install"]] if report.exists() else []


def pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UsageError(f"pip can't fetch the wheels that are lacking ({last}): name what is there with --there, or pass --no-wheels")

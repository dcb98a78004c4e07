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


def normalize_name(name: str) -> str:
    """A package's name as it is compared: of "Typing_Extensions>=4; …" typing-extensions."""
    found = re.match(r"[A-Za-z0-9._-]+", name.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def missing_packages(there: Iterable[str]) -> list[str]:
    """List the dependencies in pyproject.toml that a machine with these packages lacks. What the packages require is there
    with them; that is read from the environment that runs this."""
    have: set[str] = set()
    new = {normalize_name(name) for name in there}
    while new:
        have |= new
        new = {normalize_name(text) for name in new for text in list_requirements(name)} - have
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [text for text in project["dependencies"] if normalize_name(text) not in have]


def list_requirements(name: str) -> list[str]:
    """List what an installed package requires, without its extras."""
    try:
        found = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [text for text in found if "extra ==" not in text]


def download(wanted: Iterable[str], there: Iterable[str], folder: Path) -> list[Path]:
    """Fetch wheels of what is wanted and of all that it requires, but for what is there, in the versions that were tested."""
    found, known = set[str](), {normalize_name(name) for name in there}
    todo = [text for text in wanted if normalize_name(text) not in known]
    while todo:
        known |= {normalize_name(text) for text in todo}
        entries = resolve_requirements(todo)
        found |= {f"{entry['name']}=={entry['version']}" for entry in entries}
        todo = [text for entry in entries for text in entry.get("requires_dist", []) if normalize_name(text) not in known]
    if found:
        run_pip("download", "-d", str(folder), *pip_target(), *sorted(found))
    return sorted(folder.glob("*.whl"))


def pip_target() -> list[str]:
    """Options of pip: no sources, and for this Python on Linux with glibc."""
    where = [f"--platform=manylinux{glibc}_{platform.machine()}" for glibc in ("_2_28", "_2_17", "2014")]
    version = f"--python-version={sys.version_info.major}.{sys.version_info.minor}"
    return [*where, version, "--only-binary=:all:", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-qq", "--disable-pip-version-check"]


def resolve_requirements(requirements: Iterable[str]) -> list[dict[str, Any]]:
    """The metadata of the packages that pip takes for these. One whose marker isn't true here it leaves out."""
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        nowhere = ["--dry-run", "--ignore-installed", "--report", str(report), "--target", str(Path(scratch) / "none")]
        run_pip("install", *nowhere, *pip_target(), *requirements)
        return [entry["metadata"] for entry in json.loads(report.read_text())["install"]] if report.exists() else []


def run_pip(*arguments: str) -> None:
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UsageError(f"pip can't fetch the wheels that are lacking ({last}): name what is there with --installed, or pass --no-wheels")

"""Downloads the wheels that a machine lacks, and their dependencies, with `pip` for the running version of Python."""

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
INSTALLED = (
    "torch", "triton", "numpy", "rich", "tabulate", "click", "filelock", "scipy", "sympy", "matplotlib", "jinja2", "nvidia-ml-py",
)  # fmt: skip
"""The packages of an image with torch, in versions that this project accepts."""


def normalize_name(name: str) -> str:
    """Returns the package's name in a requirement, in its normal form: typing-extensions for "Typing_Extensions>=4; …"."""
    found = re.match(r"[A-Za-z0-9._-]+", name.strip())
    return re.sub(r"[-_.]+", "-", found[0]).lower() if found else ""


def missing_packages(installed: Iterable[str]) -> list[str]:
    """Returns the dependencies in pyproject.toml that a machine lacks.

    Args:
        installed: The packages that the machine has. Their own requirements, read from this environment, count as installed too.
    """
    have: set[str] = set()
    new = {normalize_name(name) for name in installed}
    while new:
        have |= new
        new = {normalize_name(text) for name in new for text in list_requirements(name)} - have
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [text for text in project["dependencies"] if normalize_name(text) not in have]


def list_requirements(name: str) -> list[str]:
    """Returns the requirements of an installed package, without those of its extras."""
    try:
        found = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return []
    return [text for text in found if "extra ==" not in text]


def download(wanted: Iterable[str], installed: Iterable[str], folder: Path) -> list[Path]:
    """Downloads the wheels of packages and of their requirements, in the versions of constraints.txt.

    Args:
        wanted: Requirements, as in pyproject.toml.
        installed: Packages that the other machine has.
        folder: The folder to download to.

    Returns:
        The paths of the wheels.

    Raises:
        UsageError: pip fails.
    """
    found, known = set[str](), {normalize_name(name) for name in installed}
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
    """Returns options of pip: wheels only, for this version of Python on Linux with glibc."""
    where = [f"--platform=manylinux{glibc}_{platform.machine()}" for glibc in ("_2_28", "_2_17", "2014")]
    version = f"--python-version={sys.version_info.major}.{sys.version_info.minor}"
    return [*where, version, "--only-binary=:all:", "--no-deps", "-c", str(ROOT / "constraints.txt"), "-qq", "--disable-pip-version-check"]


def resolve_requirements(requirements: Iterable[str]) -> list[dict[str, Any]]:
    """Returns the metadata of the packages that pip selects. pip skips a requirement whose marker is false on this machine."""
    with TemporaryDirectory() as scratch:
        report = Path(scratch) / "report.json"
        nowhere = ["--dry-run", "--ignore-installed", "--report", str(report), "--target", str(Path(scratch) / "none")]
        run_pip("install", *nowhere, *pip_target(), *requirements)
        return [entry["metadata"] for entry in json.loads(report.read_text())["install"]] if report.exists() else []


def run_pip(*arguments: str) -> None:
    """Runs pip. Raises UsageError if it fails."""
    done = subprocess.run([sys.executable, "-m", "pip", *arguments], capture_output=True, text=True)
    if done.returncode:
        last = done.stderr.strip().rpartition("\n")[2]
        raise UsageError(f"pip can't download the missing wheels ({last}): name installed packages with --installed, or pass --no-wheels")

"""Finds the commit of a working tree that was copied without its .git folder."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("cells", "kernels", "bench")
VARIABLE = "RECURRENT_BENCH_COMMIT"
"""The environment variable that names the file with the commit."""


@dataclass(frozen=True)
class Commit:
    """A commit, whether its working tree had changes, and the digest of the tree's sources."""

    commit: str
    dirty: bool
    sources: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n", encoding="utf-8")


def digest_sources(root: Path = ROOT) -> str:
    """Returns the SHA-256 digest of all Python sources that run."""
    found = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def read_recorded_commit() -> tuple[str, bool]:
    """Returns the commit in the file that `VARIABLE` names, and whether this tree differs from it; ("", False) without a file."""
    try:
        found = Commit(**json.loads(Path(os.environ[VARIABLE]).read_text(encoding="utf-8")))
    except (KeyError, OSError, ValueError, TypeError):
        return "", False
    return found.commit, found.dirty or found.sources != digest_sources()

"""Which commit a working tree is, for one that was copied without its .git."""

import hashlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

ROOT = Path(__file__).parents[3]
PACKAGES = ("cells", "kernels", "bench")
VARIABLE = "RECURRENT_BENCH_COMMIT"
"""Names the file that says it."""


@dataclass(frozen=True)
class Commit:
    """A commit, whether the working tree had changes to it, and the digest of that tree's sources."""

    commit: str
    dirty: bool
    sources: str

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)) + "\n")


def source_digest(root: Path = ROOT) -> str:
    """Return the digest of all sources that run."""
    found = hashlib.sha256()
    for path in sorted(path for package in PACKAGES for path in (root / package).rglob("*.py")):
        found.update(f"{path.relative_to(root)}\0".encode() + path.read_bytes() + b"\0")
    return found.hexdigest()


def recorded_commit() -> tuple[str, bool]:
    """Return the commit in the file that `VARIABLE` names, and whether this tree differs from it; ("", False) without one."""
    try:
        found = Commit(**json.loads(Path(os.environ[VARIABLE]).read_text()))
    except (KeyError, OSError, ValueError, TypeError):
        return "", False
    return found.commit, found.dirty or found.sources != source_digest()

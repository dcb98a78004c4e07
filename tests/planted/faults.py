"""Faults that a careful person could make, read from faults.toml; none of them fails when its module is imported."""

import hashlib
import tomllib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Fault:
    """A fault: a text of a module that another one replaces.

    Attributes:
        name: what is wrong, the module first.
        module: the path of the file.
        old: a text that is in it once.
        new: what stands there instead.
        tests: files, or tests where a file takes minutes; the fastest first.
    """

    name: str
    module: str
    old: str
    new: str
    tests: tuple[str, ...]

    @property
    def digest(self) -> str:
        """Tells a changed row from the one that was planted; its tests may be others."""
        return digest("\0".join((self.module, self.old, self.new)))


def digest(text: str) -> str:
    """Returns a short hash of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def load_faults() -> tuple[Fault, ...]:
    """Reads the faults of faults.toml."""
    rows = tomllib.loads(Path(__file__).with_name("faults.toml").read_text(encoding="utf-8"))["fault"]
    return tuple(Fault(**{**row, "tests": tuple(row["tests"])}) for row in rows)


FAULTS = load_faults()

"""Print constraints that hold every package which pyproject.toml names to the oldest version that it allows: python .ci/oldest.py."""

import re
import sys
import tomllib
from pathlib import Path

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
USED = ("tasks", "test", "peers")
"""The extras that the tests run with."""


def oldest(text: str) -> dict[str, str]:
    """The lower bound of each dependency, and of each package of the extras in use. Raises ValueError for one without a bound."""
    project = tomllib.loads(text)["project"]
    lines = [*project["dependencies"], *(line for extra in USED for line in project["optional-dependencies"][extra])]
    found: dict[str, str] = {}
    for line in lines:
        match = re.fullmatch(r"([\w-]+)>=([\w.]+)(,[^;]*)?\s*(;.*)?", line)
        if match is None or found.setdefault(match[1], match[2]) != match[2]:
            raise ValueError(f"pyproject.toml: {line!r} is not NAME>=VERSION, with one version for each name")
    return found


def main() -> None:
    try:
        found = oldest(PYPROJECT.read_text(encoding="utf-8"))
    except ValueError as error:
        sys.exit(f"error: {error}")
    print("\n".join(f"{name}=={version}" for name, version in sorted(found.items())))


if __name__ == "__main__":
    main()

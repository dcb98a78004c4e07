"""Packages that a run needs and this machine hasn't: one line that names them and the fix. Imports nothing that may be missing."""

import importlib.util

OURS = ("bench", "cells", "kernels")
NEEDED = {
    "torch": "torch", "numpy": "numpy", "sympy": "sympy", "scipy": "scipy", "pydantic": "pydantic", "filelock": "filelock",
    "click": "click", "rich": "rich", "matplotlib": "matplotlib", "tabulate": "tabulate", "markdown_it": "markdown-it-py",
    "jinja2": "jinja2",
}  # fmt: skip
"""Modules and the packages that bring them: the dependencies of pyproject.toml but for triton, without which some backends are missing."""


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Return a line about an import that failed; None if a module of our own is missing, which no package fixes."""
    module = (error.name or "").partition(".")[0]
    if not module or module in OURS:
        return None
    packages = [package for name, package in NEEDED.items() if name == module or not is_installed(name)]
    if module not in NEEDED:
        packages.append(module)
    names = " ".join(packages)
    return f"bench: not installed here: {', '.join(packages)}. Fix: python -m pip install {names} (or, with all the rest, make setup)"

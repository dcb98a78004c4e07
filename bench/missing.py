"""Names the packages that a run needs and this machine lacks. This module imports nothing that may be missing."""

import importlib.util

OURS = ("bench", "cells", "kernels")
NEEDED = {
    "torch": "torch", "numpy": "numpy", "sympy": "sympy", "scipy": "scipy", "pydantic": "pydantic", "filelock": "filelock",
    "click": "click", "rich": "rich", "matplotlib": "matplotlib", "tabulate": "tabulate", "markdown_it": "markdown-it-py",
    "jinja2": "jinja2",
}  # fmt: skip
"""Modules and the packages that provide them: the dependencies of pyproject.toml except triton, which only some backends need."""


def is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ImportError:
        return False


def explain_missing(error: ModuleNotFoundError) -> str | None:
    """Explains an import that failed.

    Args:
        error: The error of the import.

    Returns:
        One line that names the missing packages and the fix; None if a module of this project is missing, which no package provides.
    """
    module = (error.name or "").partition(".")[0]
    if not module or module in OURS:
        return None
    packages = [package for name, package in NEEDED.items() if name == module or not is_installed(name)]
    if module not in NEEDED:
        packages.append(module)
    names = " ".join(packages)
    return f"bench: not installed here: {', '.join(packages)}. Fix: python -m pip install {names} (or, with all the rest, make setup)"

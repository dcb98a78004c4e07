"""A process without some of its packages, as where they aren't installed."""


def without(*names: str) -> str:
    """Source to run first: importing these packages, or any part of them, fails. (None in sys.modules would not do: scipy looks there for
    a torch that was imported, and takes None for one.)"""
    return f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""

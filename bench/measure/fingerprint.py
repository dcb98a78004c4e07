"""Takes a small sample of a result, to compare the results of several builds of a case."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

ENTRIES = 256
"""The most entries of a tensor that are compared. A wrong tensor is rarely right in all of them."""

Fingerprint = tuple[NDArray[np.float64], ...]
"""Entries of each tensor of a result, evenly spaced."""


def take_fingerprint(tensors: Sequence[Tensor]) -> Fingerprint:
    """Returns the fingerprint of a result."""
    flat = (tensor.detach().flatten() for tensor in tensors)
    return tuple(values[:: max(1, -(-len(values) // ENTRIES))].double().cpu().numpy() for values in flat)


def explain_difference(now: Fingerprint, before: Fingerprint, allowed: float) -> str:
    """Returns why two fingerprints differ, or "".

    Args:
        now: The later one.
        before: The earlier one.
        allowed: The largest allowed difference, relative to the largest entry.
    """
    off = max((float(np.abs(a - b).max() / (np.abs(b).max() or 1.0)) for a, b in zip(now, before, strict=True) if b.size), default=0.0)
    return "" if off <= allowed else f"built again, it is off by {off:.1e} of what it was when it was checked"

"""The matrices of a layer in the layout that the C++ loop reads them in, kept from call to call while the layer's parameters stand.

A change of a parameter is noticed by its address and by the version that torch counts. A write that torch doesn't count (through `.data` or
NumPy, or by a fused optimizer) is noticed by checksums, which each call compares: of all of a parameter of up to CHECKED_BYTES; of a larger
one about as much, at least a cache line of every row, and other ones in the next call. So a write to a whole matrix, row or column is seen
by the next call, and one to a few elements after some calls, at most as many as a row has cache lines. Parameters in shared memory,
which another process may write to, and those that inference mode made, which have no version, are packed in every call.
"""

from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager, nullcontext
from itertools import count
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from kernels.derive.plan import Plan

CHECKED_BYTES = 16384
"""The bytes of a parameter that a call compares with its checksum: for an LSTM's step of one sequence that takes a fifth of the loop's
time at H = 256, where it is a line of each row, and less elsewhere."""
LINE_BYTES = 64
"""The bytes of a cache line, and of a checksum."""
PANEL_COLUMNS = 32
"""A multiple of the columns of a panel on every processor."""

Stamp = tuple[tuple[object, ...], ...]
Spare = dict[int, list[Tensor]]
"""Memory to use again, by its bytes."""


class StalePanels(Exception):
    """The checksums of parameters are not those that the panels were packed from."""


class Checksums:
    """The parameters that panels were packed from, contiguous, and memory for their checksums, as tables of `PassArguments`."""

    def __init__(self, parameters: Sequence[Tensor]):
        self.count = len(parameters)
        sizes = [(t.numel() // t.shape[-1], t.shape[-1] * t.element_size()) for t in parameters]
        sizes = [(rows, width) if rows * width > CHECKED_BYTES else (1, rows * width) for rows, width in sizes]
        phases = [min(-(-width // LINE_BYTES), -(-rows * width // CHECKED_BYTES)) for rows, width in sizes]
        self.sums = torch.empty(sum(phases), LINE_BYTES, dtype=torch.uint8, device="cpu")
        self.sum_addresses = [self.sums.data_ptr() + LINE_BYTES * sum(phases[:i]) for i in range(self.count)]
        self.addresses = [t.data_ptr() for t in parameters]
        self.sizes = [n for (rows, width), p in zip(sizes, phases, strict=True) for n in (rows, width, p)]


class Version:
    """One version of parameters, and the panels that are packed from it. Default: none, whose panels are compared with nothing

    Attributes:
        expired: True if the parameters are to be packed anew by the next call.
    """

    def __init__(self, stamp: Stamp = (), parameters: Sequence[Tensor] = (), spare: Spare | None = None):
        self.stamp = stamp
        self.parameters = [t.detach() for t in parameters]  # no other tensor can get their addresses
        self.spare: Spare = {} if spare is None else spare
        self.panels: dict[tuple[Plan, torch.dtype], Panels] = {}
        self.expired = False

    def find(self, plan: Plan, storage: torch.dtype) -> "Panels":
        """Returns the panels that a plan reads in a dtype."""
        found = self.panels.get((plan, storage))
        return self.panels.setdefault((plan, storage), Panels(self)) if found is None else found


class Panels(dict[int, Tensor]):
    """Packed matrices by their number in `PassArguments`, of one plan, in one dtype.

    Args:
        version: the parameters that the matrices consist of. Its spare memory gets what is packed here when nobody uses it any more.
    """

    def __init__(self, version: Version):
        self.checksums, self.spare = Checksums(version.parameters), version.spare
        self.turns = count()
        self.lock = Lock()

    def packing(self, matrices: Iterable[int]) -> AbstractContextManager[object]:
        """Lets one thread at a time pack: a context for a call that reads these matrices, and adds those that it packs."""
        return nullcontext() if self.holds(matrices) else self.lock

    def holds(self, matrices: Iterable[int]) -> bool:
        """Returns whether all of these matrices are packed."""
        return all(i in self for i in matrices)

    def allocate(self, N: int, K: int, storage: torch.dtype) -> Tensor:
        """Returns memory for a matrix (N, K): an even number of rows for pairs, and 4 bytes for each column's scale."""
        size = -(-N // PANEL_COLUMNS) * PANEL_COLUMNS * ((K + K % 2) * storage.itemsize + 4)
        try:
            return self.spare[size].pop()
        except (KeyError, IndexError):
            return torch.empty(size, dtype=torch.uint8, device="cpu")

    def __del__(self) -> None:
        for memory in self.values():
            self.spare.setdefault(memory.numel(), []).append(memory)


class KeptPanels:
    """The panels of the layers and directions of an `RNN`. Copies of it, also pickled ones, start empty.

    Args:
        limit: the number of layers and directions.

    Attributes:
        calls: prepared calls that read these panels, for each shape those that no thread is using.
    """

    def __init__(self, limit: int):
        self.limit = limit
        self.entries: dict[tuple[object, ...], Version] = {}
        self.calls: dict[tuple[object, ...], list[Any]] = {}
        self.lock = Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return KeptPanels, (self.limit,)

    def find(self, parameters: Sequence[Tensor]) -> Version | None:
        """Returns the version of a layer's parameters, a new one if a parameter has changed; None if a change could not be noticed."""
        stamp = make_stamp(parameters)
        if stamp is None:
            return None
        key = tuple(values[0] for values in stamp)
        kept = self.entries.get(key)
        if kept is not None and kept.stamp == stamp and not kept.expired:
            return kept
        if any(t.untyped_storage().is_shared() for t in parameters):
            return None
        with self.lock:
            for calls in [*self.calls.values()]:
                calls.clear()
            kept = self.entries.pop(key, None)
            found = self.entries[key] = Version(stamp, parameters, kept.spare if kept else None)
            while len(self.entries) > self.limit:
                del self.entries[next(iter(self.entries))]
        return found

    def clear(self) -> None:
        """Forgets all panels."""
        with self.lock:
            self.calls.clear()
            self.entries.clear()


def make_stamp(parameters: Sequence[Tensor]) -> Stamp | None:
    """Returns what changes with the parameters: addresses, versions, shapes and strides.

    None if there are none, or one has no version, isn't contiguous, or has no memory of its own.
    """
    if not parameters or any(t.is_inference() or not t.is_contiguous() or t.is_neg() or not t.data_ptr() for t in parameters):
        return None
    return tuple((t.data_ptr(), t._version, t.shape, t.stride(), t.dtype) for t in parameters)

"""Keeps solutions and pauses of the newton schedule for a layer, from call to call.

Both options are off unless a layer asks for them, because a result then depends on the calls before it, within the tolerance.
"""

from collections.abc import Hashable
from threading import Lock

from torch import Tensor

from kernels.schedules.newton.systems import System

MAX_PAUSE = 64
"""The largest number of calls that run step by step before another one is tried by iteration."""


class PassHistory:
    """The last solution of the passes in one direction, forward or backward, and how many calls are left of a pause.

    Args:
        warm_start, pause: as in `History`.
    """

    def __init__(self, warm_start: bool, pause: bool):
        self.warm_start, self.pause = warm_start, pause
        self.trajectory: list[Tensor] | None = None
        self.length = self.left = 0

    def skips(self) -> bool:
        """Returns whether the next pass is to run step by step, and counts it."""
        self.left -= self.left > 0
        return self.left > 0

    def start(self, system: System) -> None:
        """Sets the first guess of a system to the last solution, if it has the same shape."""
        known, self.trajectory = self.trajectory, None  # taken out, as another thread may run the same layer
        if known is not None and [(t.shape, t.dtype, t.device) for t in known] == [(t.shape, t.dtype, t.device) for t in system.trajectory]:
            system.start_from(known)

    def note(self, system: System, converged: int) -> None:
        """Notes the number of steps that have converged. What has not converged as a whole is no guess, and doubles the next pause."""
        is_solved = converged == system.T
        self.trajectory = system.trajectory if is_solved and self.warm_start else None
        self.length = 0 if is_solved or not self.pause else min(2 * self.length or 1, MAX_PAUSE)
        self.left = self.length + 1 if self.length else 0


class History:
    """The histories of the layers and directions of an `RNN`. Copies of it, also pickled ones, start empty.

    Args:
        limit: the number of layers and directions.
        warm_start: whether a pass begins with the solution of the last pass, if it has the same shape, instead of zeros. The solution
            stays in memory: T·B·H elements for each state, forward and backward.
        pause: whether, after a pass that has not converged within the budget, the next 1, 2, 4, … up to MAX_PAUSE ones run step by step.
    """

    def __init__(self, limit: int, warm_start: bool, pause: bool):
        self.limit, self.warm_start, self.pause = limit, warm_start, pause
        self.entries: dict[Hashable, tuple[PassHistory, PassHistory]] = {}
        self.lock = Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return History, (self.limit, self.warm_start, self.pause)

    def find(self, parameters: list[Tensor]) -> tuple[PassHistory, PassHistory]:
        """Returns the histories of a layer's forward and backward passes. A layer is known by where its parameters are."""
        key = tuple(t.data_ptr() for t in parameters)
        with self.lock:
            found = self.entries.pop(key, None) or (PassHistory(self.warm_start, self.pause), PassHistory(self.warm_start, self.pause))
            self.entries[key] = found  # now the latest
            while len(self.entries) > self.limit:
                del self.entries[next(iter(self.entries))]
        return found

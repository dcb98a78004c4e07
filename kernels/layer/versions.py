"""Notices in a backward pass that a tensor was changed in place since the forward pass.

autograd notices it for the tensors that it saves. A call also reads tensors of which it saves a copy, or nothing.
"""

from collections.abc import Mapping

from torch import Tensor


class Versions:
    """The versions of tensors at the time of a call.

    Args:
        cell: the cell's name, for the message.
        tensors: the tensors by what they are, for the message.
    """

    def __init__(self, cell: str, tensors: Mapping[str, Tensor]):
        self.cell = cell
        # Detached: they share memory and version, and keep no graph alive. One that inference mode made has no version.
        self.tensors = {name: (t.detach(), t._version) for name, t in tensors.items() if not t.is_inference()}

    def check(self) -> None:
        """Raises RuntimeError if a tensor was changed since."""
        for name, (tensor, version) in self.tensors.items():
            if tensor._version != version:
                raise RuntimeError(
                    f"{name} has been modified by an inplace operation between the forward and the backward pass of {self.cell} (version "
                    f"{tensor._version}, expected {version}): call backward() before the change, or change a clone"
                )


def name_tensors(x: Tensor, states: Mapping[str, Tensor], parameters: Mapping[str, Tensor], before: Tensor | None) -> dict[str, Tensor]:
    """Returns the tensors that a call reads by what they are."""
    given = {"the input": x, **{f"the initial state {name}": state for name, state in states.items()}, **parameters}
    return given if before is None else {**given, "the input before": before}

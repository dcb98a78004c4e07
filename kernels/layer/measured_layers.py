"""Whole layers as they were measured on a device: ours beside torch's own, which `auto` takes where it was faster.

The table of a device is `kernels/tuned/<device>.layers.json`, written by `python -m bench tune --layers RUN` from the records of a run and
kept under version control. Nothing is timed in a call: a choice depends on the cell, sizes, dtype and device alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.layer.torch_operator import is_trained
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import get_chip
from kernels.schedules.persistent.tuning import TableError, fingerprint

Mode = Literal["training", "inference"]
SUFFIX = ".layers.json"
"""The ending of a table's name, behind that of its device."""
REACH = 2
"""How many times as large or as small a size may be for what was measured at another to be taken for it."""


@dataclass(frozen=True, kw_only=True)
class Layer:
    """A layer that was measured: `step` is the fingerprint of its plan, `ours` and `theirs` are seconds of a call, by the fastest of the
    derived loops, which was `schedule`, and by torch's operator; `source` is the run. Raises TableError for what no call has."""

    cell: str
    step: str
    mode: Mode
    T: int
    B: int
    D: int
    H: int
    dtype: str
    tf32: bool
    schedule: str
    ours: float
    theirs: float
    torch: str
    triton: str
    source: str

    def __post_init__(self) -> None:
        if min(self.T, self.B, self.D, self.H) < 1 or not (self.ours > 0 and self.theirs > 0):
            raise TableError(f"{self.cell} has a size or a time that isn't above 0")

    @property
    def kind(self) -> tuple[object, ...]:
        """A call of the same kind is taken for one like it."""
        return self.step, self.mode, self.H, self.dtype, self.tf32, classify(self.B, self.D)

    @property
    def key(self) -> tuple[str, str, bool, str, int, int, int, int]:
        """The call that was measured, by which a table is ordered."""
        return self.cell, self.dtype, self.tf32, self.mode, self.H, self.D, self.B, self.T


def classify(B: int, D: int) -> tuple[bool, ...]:
    """Return what `get_algo` (aten/src/ATen/native/cudnn/RNN.cpp) asks of sizes before it takes one of cuDNN's persistent kernels: where
    the answers differ, so may the kernels, several times over."""
    return B % 8 == 0, B < 96, B <= 128, D % 128 == 0


def locate(device: str) -> Path:
    return tuning.FOLDER / f"{device}{SUFFIX}"


@cache
def load(device: str) -> Mapping[tuple[object, ...], Sequence[Layer]]:
    """A device's layers by kind; empty where none were measured. Raises TableError, which names the file and what is wrong in it."""
    found: dict[tuple[object, ...], list[Layer]] = {}
    for layer in tuning.read_entries(locate(device), Layer) if locate(device).exists() else []:
        found.setdefault(layer.kind, []).append(layer)
    return found


def add(device: str, layers: Iterable[Layer]) -> None:
    """Write layers into a device's table, in place of what it had for the same calls, whole or not at all."""
    known = [layer for layers in load(device).values() for layer in layers]
    merged = {layer.key: layer for layer in (*known, *layers)}
    tuning.write_entries(locate(device), (merged[key] for key in sorted(merged)))
    load.cache_clear()


def find_nearest(layers: Iterable[Layer], T: int, B: int, D: int) -> list[Layer]:
    """Return the layers measured nearest to these sizes, each within reach: one, none, or several at one distance."""

    def ratios(layer: Layer) -> list[float]:
        return [max(a, b) / min(a, b) for a, b in ((layer.T, T), (layer.B, B), (layer.D, D))]

    def distance(layer: Layer) -> float:
        T, B, D = ratios(layer)
        return T * B * D

    near = [layer for layer in layers if max(ratios(layer)) <= REACH]
    least = min(map(distance, near), default=0)
    return [layer for layer in near if distance(layer) == least]


def prefers_torch(plan: Plan, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Return whether torch's operator was faster for a call, or for all calls measured nearest to it.

    False under settings that the table does not cover: cuDNN disabled, deterministic algorithms, which cuDNN does not promise, or tf32
    for cuBLAS and cuDNN alone.
    """
    device = find_device(x.device)
    if device is None or not len(states[0]) or not torch.backends.cudnn.enabled or torch.are_deterministic_algorithms_enabled():
        return False
    tf32 = x.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
    if x.dtype == torch.float32 and torch.backends.cudnn.allow_tf32 != tf32:
        return False
    T, B, D = x.shape
    mode: Mode = "training" if is_trained(x, states, weights) else "inference"
    kind = fingerprint(plan), mode, states[0].shape[1], str(x.dtype).removeprefix("torch."), tf32, classify(B, D)
    nearest = find_nearest(load(device).get(kind, ()), T, B, D)
    return bool(nearest) and all(layer.theirs < layer.ours for layer in nearest)


def find_device(device: torch.device) -> str | None:
    """Return the name of a GPU's tables; None for another device, which has none."""
    return get_chip(device.index or 0).name if device.type == "cuda" else None

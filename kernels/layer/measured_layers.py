"""Measured times of whole layers on a device, by the schedules and by torch's operator: `auto` selects torch's operator and the schedule
`newton` where they were the fastest.

The table of a device is `kernels/tuned/<device>.layers.json`, written by `python -m bench tune --layers RUN` from the records of a run and
kept under version control. Nothing is timed in a call: the choice depends on the cell, sizes, dtype and device alone. A CPU has no table,
but a rule for calls of one step.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from kernels.derive.plan import Plan
from kernels.layer.equations import reason_for_equations
from kernels.layer.torch_operator import needs_gradients
from kernels.schedules.interface import SIXTEEN_BIT
from kernels.schedules.persistent import tuning
from kernels.schedules.persistent.tiling import get_chip
from kernels.schedules.persistent.tuning import TableError, fingerprint

Mode = Literal["training", "inference"]
SUFFIX = ".layers.json"
"""The suffix of a table's file name, after the name of the device."""
MIN_LSTM_SIZE = 256
"""The H from which a CPU's loop runs one training step of an LSTM too."""
MAX_RATIO = 2
"""Largest ratio of T, B and D between a call and a measured layer that decides for it."""


@dataclass(frozen=True, kw_only=True)
class MeasuredLayer:
    """The measured times of a layer.

    Attributes:
        step: the hash of the plan's functions, from `fingerprint`.
        schedule: the fastest of the schedules.
        ours: the seconds of a call by that schedule.
        theirs: the seconds of a call by torch's operator; None for a cell that torch doesn't have.
        source: the run that measured it.

    Raises:
        TableError: a size or a time is not positive.
    """

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
    theirs: float | None
    torch: str
    triton: str
    source: str

    def __post_init__(self) -> None:
        if min(self.T, self.B, self.D, self.H) < 1 or not (self.ours > 0 and (self.theirs is None or self.theirs > 0)):
            raise TableError(f"{self.cell} has a size or a time that isn't above 0")

    @property
    def kind(self) -> tuple[object, ...]:
        """Returns what a call must have in common with this layer to be decided by it, besides close sizes."""
        return self.step, self.mode, self.H, self.dtype, self.tf32, classify(self.B, self.D)

    @property
    def fastest(self) -> str:
        """Returns the name of the backend that was fastest: "torch" or the schedule."""
        return "torch" if self.theirs is not None and self.theirs < self.ours else self.schedule

    @property
    def key(self) -> tuple[str, str, bool, str, int, int, int, int]:
        """Returns the sort key of a table, which identifies the measured call."""
        return self.cell, self.dtype, self.tf32, self.mode, self.H, self.D, self.B, self.T


def classify(B: int, D: int) -> tuple[bool, ...]:
    """Returns the conditions on sizes by which torch selects cuDNN's persistent kernels: `get_algo` in aten/src/ATen/native/cudnn/RNN.cpp.

    Sizes that differ in them may run different kernels, whose times differ several times over.
    """
    return B % 8 == 0, B < 96, B <= 128, D % 128 == 0


def table_path(device: str) -> Path:
    """Returns the file of a device's table."""
    return tuning.FOLDER / f"{device}{SUFFIX}"


@cache
def load_table(device: str) -> Mapping[tuple[object, ...], Sequence[MeasuredLayer]]:
    """Returns a device's layers by kind; empty if none were measured.

    Raises:
        TableError: names the file and what is wrong in it.
    """
    found: dict[tuple[object, ...], list[MeasuredLayer]] = {}
    for layer in tuning.read_entries(table_path(device), MeasuredLayer) if table_path(device).exists() else []:
        found.setdefault(layer.kind, []).append(layer)
    return found


def add_layers(device: str, layers: Iterable[MeasuredLayer]) -> None:
    """Writes layers into a device's table, atomically; they replace those of the same calls."""
    known = [layer for layers in load_table(device).values() for layer in layers]
    merged = {layer.key: layer for layer in (*known, *layers)}
    tuning.write_entries(table_path(device), (merged[key] for key in sorted(merged)))
    load_table.cache_clear()


def find_nearest(layers: Iterable[MeasuredLayer], T: int, B: int, D: int) -> list[MeasuredLayer]:
    """Returns the layers with the nearest sizes, within MAX_RATIO of each: none, one, or several at equal distance."""

    def ratios(layer: MeasuredLayer) -> list[float]:
        return [max(a, b) / min(a, b) for a, b in ((layer.T, T), (layer.B, B), (layer.D, D))]

    def distance(layer: MeasuredLayer) -> float:
        T, B, D = ratios(layer)
        return T * B * D

    near = [layer for layer in layers if max(ratios(layer)) <= MAX_RATIO]
    least = min(map(distance, near), default=0)
    return [layer for layer in near if distance(layer) == least]


def find_fastest(plan: Plan, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> str:
    """Returns the backend that was fastest for a call, or for all calls measured nearest to it: "torch" or a schedule; "" if none was.
    On a CPU "torch" or "eager" for one step, if `is_faster_in_torch`, else "".

    "" under settings that the table does not cover: cuDNN disabled, deterministic algorithms, which cuDNN does not promise, or tf32
    for cuBLAS and cuDNN alone. "" for a cell with heads: `newton` has no blocks, so that a NaN would reach all heads.
    """
    device = find_device(x.device)
    if device is None and is_faster_in_torch(plan, x, states, weights):
        return "torch" if plan.cell.torch_equivalent else "eager"
    if (
        device is None
        or plan.cell.heads
        or not len(states[0])
        or not torch.backends.cudnn.enabled
        or torch.are_deterministic_algorithms_enabled()
    ):
        return ""
    tf32 = x.dtype == torch.float32 and torch.backends.cuda.matmul.allow_tf32
    if x.dtype == torch.float32 and torch.backends.cudnn.allow_tf32 != tf32:
        return ""
    T, B, D = x.shape
    mode: Mode = "training" if needs_gradients(x, states, weights) else "inference"
    kind = fingerprint(plan), mode, states[0].shape[1], str(x.dtype).removeprefix("torch."), tf32, classify(B, D)
    names = {layer.fastest for layer in find_nearest(load_table(device).get(kind, ()), T, B, D)}
    return names.pop() if len(names) == 1 else ""


def is_faster_in_torch(plan: Plan, x: Tensor, states: Sequence[Tensor], weights: Mapping[str, Tensor]) -> bool:
    """Returns whether torch runs a call on a CPU faster than the C++ loop: one step that needs gradients, on any processor, as the loop
    packs its matrices for one product each and takes more time to call.

    On two Zen 3 cores (median of 9, interleaved) the equations took 0.3 to 0.8 times the loop's time for most cells, at H = 16 to 1024
    and B = 1 and 32; torch's operator 0.3 to 0.6 times for vanilla and GRU, and for the LSTM 0.4 to 0.6 times below H = 256, but 0.7 to
    2.2 times from there on. Two steps took 0.6 to 1.4 times. In 16 bit and under autocast the loop is
    more accurate; torch's operator has no rules for torch.func's transforms.
    """
    if not x.is_cpu or x.shape[0] != 1 or x.shape[1] == 0 or x.dtype in SIXTEEN_BIT or torch.is_autocast_enabled("cpu"):
        return False
    equivalent = plan.cell.torch_equivalent
    is_large = equivalent is not None and equivalent.mode == "LSTM" and states[0].shape[1] >= MIN_LSTM_SIZE
    return not is_large and needs_gradients(x, states, weights) and not reason_for_equations((x, *states, *weights.values()))


def find_device(device: torch.device) -> str | None:
    """Returns the name of a GPU's tables; None for another device, which has none."""
    return get_chip(device.index or 0).name if device.type == "cuda" else None

"""Loads a trained layer from a saved state dict of `kernels.RNN`, or of a model that contains one."""

import contextlib
import hashlib
import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

import cells
from bench.errors import UsageError
from bench.measure.failure import describe_error
from bench.measure.problem import Problem
from bench.studies.signals import chaos
from bench.studies.signals.jacobians import measure_jacobians
from bench.studies.signals.piece import Piece
from bench.studies.signals.signal_plan import TRAJECTORIES, make_study_problem, measure_with_errors
from bench.studies.signals.time_parallel import measure_iterations
from cells.grammar.errors import CellError
from cells.grammar.torch_equivalent import KEYS
from kernels import RNN
from kernels.derive.cost_formulas import parameter_sizes
from kernels.derive.plan import plan
from kernels.layer.parameter_names import former_names, name_parameters

ANOTHER = "--checkpoint {path} holds a layer whose shapes are not those of a {cell}: is its first layer another cell?"


@dataclass(frozen=True)
class TrainedLayer:
    """The first layer of a trained model.

    Attributes:
        cell: The cell's name.
        name: The file's name and the first digits of its SHA-256 hash.
        weights: The parameters by name.
        D: Input width.
        H: Hidden width.
    """

    cell: str
    name: str
    weights: Mapping[str, Tensor]
    D: int
    H: int

    def make_problem(self, T: int, B: int, dtype: str, device: str, seed: int) -> Problem:
        """Returns a problem with the trained weights; all other data is drawn from `seed`."""
        given = make_study_problem(self.cell, "default", T, B, self.D, self.H, dtype, device, seed)
        for key, value in given.weights.items():
            value.copy_(self.weights[key])
        return given

    def gradient_pieces(self, lengths: Sequence[int], B: int, dtypes: Sequence[str], seeds: int, device: str) -> Sequence[Piece]:
        """Returns the pieces of `bench gradients` for this layer.

        Args:
            lengths: Sequence lengths T.
            B: Sequences in a batch.
            dtypes: The names of the data types.
            seeds: The number of seeds.
            device: "cpu" or "cuda".
        """
        return [
            (
                f"{self.cell} {self.name} T={T} {dtype} seed {seed}",
                partial(measure_with_errors, self.make_problem(T, B, dtype, device, seed), self.name),
            )
            for T in lengths for dtype in dtypes for seed in range(seeds)
        ]  # fmt: skip

    def jacobian_pieces(self, T: int, dtype: str, seeds: int, device: str) -> Sequence[Piece]:
        """Returns the pieces of `bench jacobian` for this layer.

        Args:
            T: Time steps.
            dtype: The name of the data type.
            seeds: The number of seeds.
            device: "cpu" or "cuda".
        """
        return [
            (f"{self.cell} {self.name} seed {seed}", partial(measure_jacobians, self.make_problem(T, 1, dtype, device, seed), self.name))
            for seed in range(seeds)
        ]  # fmt: skip

    def parallel_pieces(self, lengths: Sequence[int], B: int, scales: Sequence[float], seeds: int, device: str) -> Sequence[Piece]:
        """Returns the pieces of `bench parallel` for this layer.

        Args:
            lengths: Sequence lengths T.
            B: Sequences in a batch.
            scales: Factors of the recurrent matrices.
            seeds: The number of seeds.
            device: "cpu" or "cuda".
        """
        return [
            (
                f"{self.cell} {self.name} ×{scale:g} T={T} seed {seed}",
                partial(measure_iterations, self.make_problem(T, B, "float32", device, seed), self.name, scale, min(lengths) == T),
            )
            for scale in scales for T in lengths for seed in range(seeds)
        ]  # fmt: skip

    def autonomous_pieces(self, T: int, seed: int) -> Sequence[Piece]:
        """Returns the piece of `bench chaos` for this layer: T steps without input, from states drawn from `seed`."""
        rnn = RNN(self.cell, self.D, self.H, dtype=torch.float64)
        rnn.set_weights(self.weights)
        return [(f"{self.cell} {self.name} without input", partial(chaos.measure_autonomous, rnn, self.name, T, TRAJECTORIES, seed))]


def load_trained(path: Path, cell: str) -> TrainedLayer:
    """Returns the first layer in a saved state dict.

    Args:
        path: The file.
        cell: The cell's name.

    Raises:
        UsageError: The file can't be read, or has no layer of this cell, or several.
    """
    weights = read_weights(path, cell)
    D, H = find_sizes(cell, weights, path)
    return TrainedLayer(cell, f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]}", weights, D, H)


def read_weights(path: Path, cell: str) -> dict[str, Tensor]:
    """Returns the parameters of the first layer in a saved state dict, by the cell's names. Raises UsageError if it has no layer of the
    cell, or several."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise UsageError(f"--checkpoint {path} can't be read ({describe_error(error)}): name a state dict torch.save wrote") from None
    names, equivalent = [*parameter_sizes(plan(cells.load(cell)))], cells.load(cell).torch_equivalent
    today = {key: key for key in KEYS} if equivalent else name_parameters(plan(cells.load(cell)), names)
    layers: dict[str, dict[str, Tensor]] = {}
    for key, value in flatten(saved).items():
        module, _, last = key.rpartition(".")
        layers.setdefault(module, {})[last] = value
    whole = [
        (module, {name: values[f"{key}_l0"] for name, key in named.items()})
        for named in (today, former_names(names)) for module, values in layers.items() if all(f"{k}_l0" in values for k in named.values())
    ]  # fmt: skip
    if not whole:
        there = {key for values in layers.values() for key in values}
        missing = ", ".join(sorted(key for key in today.values() if f"{key}_l0" not in there)) or "layer with all of its values"
        raise UsageError(f"--checkpoint {path} has no {missing}: is it a {cell}?")
    if len(whole) > 1:
        raise UsageError(f"--checkpoint {path} holds {' and '.join(module for module, _ in whole)}: save the state dict of one {cell}")
    _, values = whole[0]
    if equivalent is None or "weight_ih" not in values:
        return values
    if any(len(value) % len(equivalent.gates) for value in values.values()):
        raise UsageError(ANOTHER.format(path=path, cell=cell))
    return {name: equivalent.read(name, values) for name in names}


def find_sizes(cell: str, weights: Mapping[str, Tensor], path: Path) -> tuple[int, int]:
    """Returns D and H of a layer: the widths at which the cell has parameters of these shapes. Raises UsageError if there are none."""
    found = {name: tuple(value.shape) for name, value in weights.items()}
    widths = {math.prod(shape[:-1]) for shape in found.values() if len(shape) > 1}
    for H, D in itertools.product(sorted(widths), sorted({shape[-1] for shape in found.values()})):
        with contextlib.suppress(CellError):  # where a cell uses x unit by unit, and D isn't H, or its heads can't share H
            if cells.load(cell).shapes(D, H) == found:
                return D, H
    raise UsageError(ANOTHER.format(path=path, cell=cell))


def flatten(saved: object) -> dict[str, Tensor]:
    """Returns the tensors in nested dictionaries by their innermost key. If a key occurs several times, the last tensor counts: in a
    training's checkpoint, that of the best model."""
    if not isinstance(saved, dict):
        return {}
    found: dict[str, Tensor] = {}
    for key, value in saved.items():
        found |= {key: value} if isinstance(value, Tensor) else flatten(value)
    return found

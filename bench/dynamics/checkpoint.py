"""The gradients of a trained layer: a saved state dict of `kernels.RNN`, alone or in that of a model around it."""

import hashlib
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import torch

import cells
from bench.dynamics.plan import flow, problem
from bench.dynamics.study import Piece
from bench.settings import SettingsError


def trained(path: Path, cell: str, lengths: Sequence[int], B: int, dtypes: Sequence[str], seeds: int, device: str) -> Sequence[Piece]:
    """The gradients of a layer whose state dict was saved, the first of its layers."""
    weights = checkpoint(path, cell)
    name = f"{path.name} {hashlib.sha256(path.read_bytes()).hexdigest()[:8]}"
    H, D = next((v.shape for n, v in weights.items() if n.startswith("W.") and n.endswith("x")), (0, 0))
    if cell.startswith("minimal"):
        H, D = weights["W.a" if cell == "minimal_deep" else "W.z"].shape
    pieces = []
    for T in lengths:
        for dtype in dtypes:
            for seed in range(seeds):
                given = problem(cell, "default", T, B, D, H, dtype, device, seed)
                for key, value in given.weights.items():
                    value.copy_(weights[key])
                pieces.append((f"{cell} {path.name} T={T} {dtype} seed {seed}", partial(flow, given, name)))
    return pieces


def checkpoint(path: Path, cell: str) -> dict[str, torch.Tensor]:
    """The learned values of the first layer in a saved state dict of `kernels.RNN`, by the cell's names. Raises SettingsError where it
    holds none."""
    try:
        saved = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise SettingsError(
            f"--checkpoint {path} can't be read ({str(error).splitlines()[0]}): name a state dict torch.save wrote"
        ) from None
    wanted = {name: f"{name.replace('.', '_')}_l0" for name in cells.load(cell).shapes(1, 1)}
    found = {name: value for name, key in wanted.items() for k, value in flat(saved).items() if k == key or k.endswith("." + key)}
    if set(found) != set(wanted):
        raise SettingsError(f"--checkpoint {path} has no {', '.join(sorted(set(wanted) - set(found)))}: is it a {cell}?")
    return found


def flat(saved: object) -> dict[str, torch.Tensor]:
    """The tensors in nested dictionaries, by the last of their names."""
    if not isinstance(saved, dict):
        return {}
    found: dict[str, torch.Tensor] = {}
    for key, value in saved.items():
        found |= {key: value} if isinstance(value, torch.Tensor) else flat(value)
    return found

"""A training put down and taken up again: everything that its next step depends on, in one file."""

import os
import pickle
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from bench.records.training_record import Trial


def checkpoint_name(trial: Trial) -> str:
    """A trial's, for its file."""
    known = (trial.cell, f"H{trial.H}", f"seed{trial.seed}", f"n{trial.examples}" if trial.examples else "")
    return "-".join(filter(None, known))


def save_file(path: Path, content: dict[str, Any]) -> None:
    """Write it whole or not at all: what was there before stays until then."""
    beside = path.with_suffix(".new")
    with beside.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


def load_file(path: Path) -> dict[str, Any]:
    """Tensors and numbers, no code. Raises UsageError where the file is no checkpoint."""
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise UsageError(f"{path} is no checkpoint ({first}): delete it, and --resume begins that training again") from None

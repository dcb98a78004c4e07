"""Saves and loads checkpoints of trainings: a file with everything that the next step depends on."""

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import torch

from bench.errors import UsageError
from bench.records.training_record import Trial


def checkpoint_name(trial: Trial) -> str:
    """Returns the file name of a trial's checkpoint, without suffix. A user's own cell has a path in its name, whose hash stands for it."""
    own = f"{trial.cell.rpartition(':')[2]}-{hashlib.sha256(trial.cell.encode()).hexdigest()[:8]}"
    known = (own if ":" in trial.cell else trial.cell, f"H{trial.H}", f"seed{trial.seed}", f"n{trial.examples}" if trial.examples else "")
    return "-".join(filter(None, known))


def save_file(path: Path, content: dict[str, Any]) -> None:
    """Writes a checkpoint. The former one is replaced in one operation, so a complete one always exists.

    Args:
        path: The file.
        content: Tensors and numbers.
    """
    beside = path.with_suffix(".new")
    with beside.open("wb") as stream:
        torch.save(content, stream)
        stream.flush()
        os.fsync(stream.fileno())
    beside.replace(path)


def load_file(path: Path) -> dict[str, Any]:
    """Returns the content of a checkpoint: tensors and numbers, no code.

    Args:
        path: The file.

    Raises:
        UsageError: The file is not a checkpoint.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        first = str(error).partition("\n")[0]
        raise UsageError(f"{path} is no checkpoint ({first}): move it away, and --resume begins that training again") from None

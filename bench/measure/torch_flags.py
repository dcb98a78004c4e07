"""Saves and restores the process-wide settings that a backend could change for later ones: torch's flags and the working folder."""

import os
from collections.abc import Callable
from typing import Any

import torch

FLAGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "torch's number of threads": (torch.get_num_threads, torch.set_num_threads),
    "torch's default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "whether torch records gradients": (torch.is_grad_enabled, torch.set_grad_enabled),
    "whether torch is deterministic": (torch.are_deterministic_algorithms_enabled, torch.use_deterministic_algorithms),
    "torch's precision of float32 products": (torch.get_float32_matmul_precision, torch.set_float32_matmul_precision),
    "cuDNN's TF32": (lambda: torch.backends.cudnn.allow_tf32, lambda on: setattr(torch.backends.cudnn, "allow_tf32", on)),
    "whether cuDNN tries algorithms": (lambda: torch.backends.cudnn.benchmark, lambda on: setattr(torch.backends.cudnn, "benchmark", on)),
    "whether cuDNN is used": (lambda: torch.backends.cudnn.enabled, lambda on: setattr(torch.backends.cudnn, "enabled", on)),
    "the working folder": (os.getcwd, os.chdir),
}


def read_flags() -> dict[str, Any]:
    """Returns the current settings by name."""
    return {name: get() for name, (get, _) in FLAGS.items()}


def restore_flags(before: dict[str, Any]) -> str:
    """Restores all settings.

    Args:
        before: The settings to restore, from `read_flags`.

    Returns:
        A sentence that names the settings that had changed, or "".
    """
    changed = [name for name, (get, _) in FLAGS.items() if get() != before[name]]
    for name in changed:
        FLAGS[name][1](before[name])
    return f"it changes {', '.join(changed)} for whatever runs after it" if changed else ""


def set_precision(precision: str) -> None:
    """Sets the precision of all float32 products ("ieee" or "tf32"): cuBLAS, cuDNN and the kernels of this project."""
    tf32 = precision == "tf32"
    torch.backends.cuda.matmul.allow_tf32 = tf32
    torch.backends.cudnn.allow_tf32 = tf32

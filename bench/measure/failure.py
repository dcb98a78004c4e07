"""Describes an error in a record: its first line, whether memory ran out, and whether the GPU was lost."""

import torch

LONGEST = 300
"""The longest reason, in characters."""

FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""Parts of messages that mean out of memory: torch on a CPU, CUDA and Triton, cuBLAS and cuDNN, where they raise no exception of their own.
"""


def first_line(error: BaseException) -> str:
    """Returns the first line of an error's message in printable characters. A user's backend may have any message, or fail to give one."""
    try:
        words = str(error).strip().partition("\n")[0]
    except Exception:
        words = "it can't say what is wrong"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in words[:LONGEST])
    return shown if len(words) <= LONGEST else f"{shown} …"


def describe_error(error: BaseException) -> str:
    """Returns the type of an error and the first line of its message."""
    return f"{type(error).__name__}: {first_line(error)}"


def is_out_of_memory(error: BaseException) -> bool:
    """Returns whether an error means that memory ran out."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in first_line(error) for words in FULL)


def is_gpu_lost(device: torch.device) -> bool:
    """Returns whether every further call to the GPU would fail in this process."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False

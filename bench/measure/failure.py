"""An error as a record tells it: one line, whether memory ran out, and whether the GPU was lost."""

import torch

LONGEST = 300
"""Characters of a reason."""

FULL = ("can't allocate memory", "out of memory", "ALLOC_FAILED")
"""What torch says on a CPU, CUDA and Triton, and cuBLAS and cuDNN, where they have no exception of their own for it."""


def first_line(error: BaseException) -> str:
    """The first line of what an error says, of what can be printed: a backend of a user's may say anything, or fail to."""
    try:
        words = str(error).strip().partition("\n")[0]
    except Exception:
        words = "it can't say what is wrong"
    shown = "".join(c if c.isprintable() else repr(c)[1:-1] for c in words[:LONGEST])
    return shown if len(words) <= LONGEST else f"{shown} …"


def describe_error(error: BaseException) -> str:
    return f"{type(error).__name__}: {first_line(error)}"


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether memory ran out."""
    return isinstance(error, (torch.OutOfMemoryError, MemoryError)) or any(words in first_line(error) for words in FULL)


def is_gpu_lost(device: torch.device) -> bool:
    """Return whether the GPU has failed this process for good: then it fails every call."""
    if device.type != "cuda":
        return False
    try:
        torch.cuda.synchronize(device)
    except RuntimeError:
        return True
    return False

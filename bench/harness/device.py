"""Resolves the device of a run and makes the folder of its results."""

import datetime
import os
import platform
import re
from pathlib import Path

from bench.errors import UsageError


def resolve_device(wanted: str) -> str:
    """Returns the device of a run. For "cpu", Triton runs in its interpreter from now on.

    Args:
        wanted: "cuda", "cpu", or "" for a GPU if torch finds one.

    Returns:
        "cuda" or "cpu".

    Raises:
        UsageError: "cuda" is asked for, and torch finds no GPU.
    """
    import torch

    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise UsageError("--device cuda: torch finds no GPU here (`bench doctor` says more); use --device cpu")
    chosen = wanted or ("cuda" if here else "cpu")
    if chosen == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    return chosen


def make_run_folder(out: Path | None, device: str, *words: str, resume: bool | None = None) -> Path:
    """Makes and returns the folder of a run.

    The device's name is only read for a default folder, because reading it may create a CUDA context in this process.

    Args:
        out: The folder; None for a new one in reports/, named after the date, the device and `words`.
        device: "cuda" or "cpu".
        words: Words for the default name; empty ones are skipped.
        resume: `out` may hold a run.

    Raises:
        UsageError: As for `make_folder`.
    """
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    default = Path("reports") / "-".join((today, device_slug(device), *filter(None, words))) if out is None else out
    return make_folder(out, default, resume)


def device_slug(device: str) -> str:
    """Returns a device's name for a folder, such as "nvidia-h200" or "cpu-amd-epyc".

    Args:
        device: "cuda" or "cpu".
    """
    import torch

    from bench.measure.environment import find_processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {find_processor() or platform.machine()}"
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", name.lower()))
    return "-".join(words[:4])


def make_folder(out: Path | None, default: Path, resume: bool | None = None) -> Path:
    """Makes and returns the folder of a run.

    Args:
        out: The folder, which must be new or empty; None for `default`.
        default: The default folder; if it exists, a number is appended to its name.
        resume: `out` may hold a run. None if the command has no --resume.

    Raises:
        UsageError: The folder exists or can't be written, or there is no folder to resume.
    """
    if resume and out is None:
        raise UsageError("--resume continues a run: name its folder with --out")
    chosen = out or default
    if out is None:
        tries = (default.with_name(f"{default.name}-{n}") for n in range(2, 10_000))
        chosen = default if not default.exists() else next(path for path in tries if not path.exists())
    elif out.exists() and (not out.is_dir() or any(out.iterdir())) and not (resume and (out / "records.jsonl").exists()):
        hint = "it holds no records.jsonl to resume" if resume else "nothing was overwritten"
        hint += "; --resume continues a run" if resume is False else ""
        raise UsageError(f"--out {out} exists already: name a new folder, {hint}")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        probe = chosen / "records.jsonl"
        probe.touch()
    except OSError as error:
        raise UsageError(f"--out {chosen} can't be written ({error.strerror}): name a folder that can") from None
    return chosen

"""Resolves the device of a run and makes the folder of its results."""

import contextlib
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
        out: The folder, as `check_folder` accepts it; None for `default`.
        default: The default folder; if it exists, a number is appended to its name.
        resume: `out` may hold a run. None if the command has no --resume.

    Raises:
        UsageError: The folder exists or can't be written, or there is no folder to resume.
    """
    check_folder(out, resume)
    chosen = out or default
    if out is None and default.exists():
        chosen = next(path for n in range(2, 10_000) if not (path := default.with_name(f"{default.name}-{n}")).exists())
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        (chosen / "records.jsonl").touch()
    except OSError as error:
        raise UsageError(f"--out {chosen} can't be written ({error.strerror}): name a folder that can") from None
    return chosen


def check_folder(out: Path | None, resume: bool | None = None) -> None:
    """Checks the folder of a run before it is made. A run that ended before its first record leaves none, or an empty file of records in
    it, which is no run.

    Args:
        out: The folder, which must be new or empty; None for a default one.
        resume: `out` may hold a run. None if the command has no --resume.

    Raises:
        UsageError: The folder holds something, or there is no folder to resume.
    """
    if out is None:
        if resume:
            raise UsageError("--resume continues a run: name its folder with --out")
        return
    records = out / "records.jsonl"
    if not out.exists() or (out.is_dir() and all(path == records and not path.stat().st_size for path in out.iterdir())):
        return
    if not (resume and records.exists()):
        hint = "it holds no records.jsonl to resume" if resume else "nothing was overwritten"
        hint += "; --resume continues a run" if resume is False else ""
        raise UsageError(f"--out {out} exists already: name a new folder, {hint}")


def remove_empty(folder: Path) -> None:
    """Removes the folder of a run that recorded nothing, with its empty file of records; a folder that holds more stays."""
    records = folder / "records.jsonl"
    with contextlib.suppress(OSError):
        if not records.stat().st_size:
            records.unlink()
            folder.rmdir()

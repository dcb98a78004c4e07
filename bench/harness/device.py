"""The device a run is for: what was asked for, or what is here."""

import datetime
import os
import platform
import re
from pathlib import Path

from bench.errors import UsageError


def resolve_device(wanted: str) -> str:
    """ "cuda" or "cpu": what was asked for, else what is here. Without a GPU, Triton runs in its interpreter from here on."""
    import torch

    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise UsageError("--device cuda: torch finds no GPU here (`bench doctor` says more); use --device cpu")
    chosen = wanted or ("cuda" if here else "cpu")
    if chosen == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    return chosen


def make_run_folder(out: Path | None, device: str, *words: str, resume: bool | None = None) -> Path:
    """The folder a run writes to: `out`, or a new one in reports/ that is named for the day, the device and what is asked. A GPU is asked
    for its name only then: that may take a context in this process, too. Raises UsageError as `make_folder` does."""
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    default = Path("reports") / "-".join((today, device_slug(device), *filter(None, words))) if out is None else out
    return make_folder(out, default, resume)


def device_slug(device: str) -> str:
    """A device's name for a folder: "nvidia-h200", "cpu-amd-epyc"."""
    import torch

    from bench.measure.environment import find_processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {find_processor() or platform.machine()}"
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", name.lower()))
    return "-".join(words[:4])


def make_folder(out: Path | None, default: Path, resume: bool | None = None) -> Path:
    """The folder a run writes to, made: `out`, which must be new or empty, or `default` with a number that makes it new. To `resume`,
    `out` may hold a run; None where that can't be asked for."""
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

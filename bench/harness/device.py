"""The device a run is for: what was asked for, or what is here."""

import datetime
import os
import platform
import re
from pathlib import Path

from bench.errors import UsageError
from bench.harness.settings import folder


def choose(wanted: str) -> str:
    """ "cuda" or "cpu": what was asked for, else what is here. Without a GPU, Triton runs in its interpreter from here on."""
    import torch

    here = torch.cuda.is_available()
    if wanted == "cuda" and not here:
        raise UsageError("--device cuda: torch finds no GPU here (`bench doctor` says more); use --device cpu")
    chosen = wanted or ("cuda" if here else "cpu")
    if chosen == "cpu":
        os.environ["TRITON_INTERPRET"] = "1"
    return chosen


def target(out: Path | None, device: str, *words: str, resume: bool | None = None) -> Path:
    """The folder a run writes to: `out`, or a new one in reports/ that is named for the day, the device and what is asked. A GPU is asked
    for its name only then: that may take a context in this process, too. Raises UsageError as `settings.folder` does."""
    today = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}"
    default = Path("reports") / "-".join((today, nickname(device), *filter(None, words))) if out is None else out
    return folder(out, default, resume)


def nickname(device: str) -> str:
    """A device's name for a folder: "nvidia-h200", "cpu-amd-epyc"."""
    import torch

    from bench.measure.environment import processor

    name = torch.cuda.get_device_name() if device == "cuda" else f"cpu {processor() or platform.machine()}"
    words = re.findall(r"[a-z0-9]+", re.sub(r"\(.*?\)", "", name.lower()))
    return "-".join(words[:4])

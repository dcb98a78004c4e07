"""What a user asks for, checked: each fault is one line that names the fix."""

import difflib
import json
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from bench.errors import UsageError
from bench.records import Mode

DEFAULTS = {
    "cpu": ("eager", "compiled", "stepwise", "resident", "scan", "stencil", "vendor", "torchrecurrent", "associative", "conv2d"),
    "cuda": (
        "eager", "stepwise", "resident", "resident-low", "scan", "stencil", "vendor", "torchrecurrent", "associative", "accelerated",
        "fla_chunk", "fla_recurrent", "conv2d",
    ),
}  # fmt: skip
"""The backends of a run that names none, each for the cells it is for. "-low" is the schedule with `memory="low"`."""
BACKENDS = (
    "eager", "compiled", "stepwise", "resident", "scan", "stencil", "compiled-low", "stepwise-low", "resident-low", "scan-low",
    "stencil-low", "vendor", "torchrecurrent", "associative", "accelerated", "fla_chunk", "fla_recurrent", "conv2d",
)  # fmt: skip
DTYPES = ("float32", "float64", "bfloat16", "float16")
PRECISIONS = ("ieee", "tf32")


MODES: tuple[Mode, ...] = get_args(Mode)


@dataclass(frozen=True)
class Settings:
    """A run: which cells on which backends, at which sizes (T time steps, B sequences, D input and H hidden width), or of which suite,
    which has sizes and, without a `dtype`, types of its own. `thorough`: with more samples, cold caches, and energy where it is
    counted. `shard`: which part of it, "2/3" is the second of three, or "" for all. `lean`: whole layers alone, checked and timed with
    few samples, and nothing measured beside."""

    cells: tuple[str, ...]
    backends: tuple[str, ...]
    seq_lens: tuple[int, ...]
    batch: int
    hidden: int
    input: int
    dtype: str
    precision: str
    device: str
    seed: int
    quick: bool
    suite: str = ""
    modes: tuple[Mode, ...] = ("training", "inference")
    thorough: bool = False
    shard: str = ""
    lean: bool = False

    def plain(self) -> dict[str, Any]:
        """As a record holds them."""
        return json.loads(json.dumps(asdict(self)))


def choices(text: str, known: tuple[str, ...], kind: str) -> tuple[str, ...]:
    """A comma list of names, each of them known."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    if not names:
        raise UsageError(f"no {kind} named: choose from {', '.join(known)}")
    for name in names:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise UsageError(f"no {kind} is called {name!r}: {hint}")
    return names


def contenders(text: str) -> tuple[str, ...]:
    """A comma list of backends: known ones, and functions in files of one's own, FILE.py:NAME."""
    names = functions(text, "--backends")
    known = [name for name in names if ":" not in name]
    if known or not names:
        choices(",".join(known), BACKENDS, "backend")
    return names


def functions(text: str, flag: str) -> tuple[str, ...]:
    """The names of a comma list, those with a colon checked to be FILE.py:NAME with a file that is there."""
    names = tuple(dict.fromkeys(part.strip() for part in text.split(",") if part.strip()))
    for file, _, function in (name.rpartition(":") for name in names if ":" in name):
        if not (function.isidentifier() and file.endswith(".py")):
            raise UsageError(f"{flag} takes FILE.py:NAME for a function of your own, not {file}:{function}")
        if not Path(file).is_file():
            raise UsageError(f"{flag}: there is no file {file}")
    return names


def choice(text: str, known: tuple[str, ...], kind: str) -> str:
    if "," in text:
        raise UsageError(f"one {kind} at a time, not {text!r}: choose from {', '.join(known)}")
    return choices(text, known, kind)[0]


def sizes(text: str, flag: str) -> tuple[int, ...]:
    """A comma list of positive whole numbers, in rising order."""
    return tuple(sorted({size(part, flag) for part in text.split(",")}))


def size(text: str, flag: str, least: int = 1) -> int:
    try:
        number = int(text)
    except ValueError:
        raise UsageError(f"{flag} takes whole numbers, not {text!r}: for example {flag} 64") from None
    if number < least:
        raise UsageError(f"{flag} must be at least {least}, not {number}")
    if number >= 2**31:
        raise UsageError(f"{flag} must be below 2³¹, not {number}")
    return number


def part(text: str, flag: str) -> str:
    """One part of several: 2/3 is the second of three."""
    found = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
    if found is None or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"{flag} takes one part of several, not {text!r}: {flag} 1/2 here and {flag} 2/2 elsewhere")
    return f"{int(found[1])}/{int(found[2])}"


UNITS = {"s": 1, "m": 60, "h": 3600}


def duration(text: str, flag: str) -> float:
    """Seconds, of a number with its unit: 90s, 8m, 1.5h."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text.strip())
    if found is None or not float(found[1]):
        raise UsageError(f"{flag} takes a time with its unit, not {text!r}: for example {flag} 90s, 8m or 1h")
    return float(found[1]) * UNITS[found[2]]


def folder(out: Path | None, default: Path, resume: bool | None = None) -> Path:
    """The folder a run writes to, made: `out`, which must be new or empty, or `default` with a number that makes it new. To `resume`,
    `out` may hold a run; None where that can't be asked for."""
    if resume and out is None:
        raise UsageError("--resume goes on with a run: name its folder with --out")
    chosen = out or default
    if out is None:
        tries = (default.with_name(f"{default.name}-{n}") for n in range(2, 10_000))
        chosen = default if not default.exists() else next(path for path in tries if not path.exists())
    elif out.exists() and (not out.is_dir() or any(out.iterdir())) and not (resume and (out / "records.jsonl").exists()):
        hint = "it holds no records.jsonl to resume" if resume else "nothing was overwritten"
        hint += "; --resume goes on with a run" if resume is False else ""
        raise UsageError(f"--out {out} exists already: name a new folder, {hint}")
    try:
        chosen.mkdir(parents=True, exist_ok=True)
        probe = chosen / "records.jsonl"
        probe.touch()
    except OSError as error:
        raise UsageError(f"--out {chosen} can't be written ({error.strerror}): name a folder that can") from None
    return chosen

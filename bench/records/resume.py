"""Checks that a run can be resumed: same settings, same machine, same code."""

from pathlib import Path

from bench.errors import UsageError
from bench.records.run_record import Environment, Run

SAME = (
    "device", "processor", "cores", "threads", "system", "python", "torch", "triton", "cuda", "cudnn", "driver", "compiler",
    "torchrecurrent", "packages", "commit", "dirty",
)  # fmt: skip
"""The fields of the environment that must be unchanged."""


def check_resumable(path: Path, run: Run, settings: dict[str, object], here: Environment) -> None:
    """Checks that a run was measured with the same settings in the same environment.

    Args:
        path: The records file, for the message.
        run: The run to resume.
        settings: The current settings.
        here: The current environment.

    Raises:
        UsageError: Something differs.
    """
    if not run.settings:
        raise UsageError(f"--resume: {path} doesn't say how it was measured: name a new --out")
    pairs = {name: (run.settings.get(name), value) for name, value in settings.items()}
    pairs |= {name: (getattr(run.environment, name), getattr(here, name)) for name in SAME}
    for name, (was, now) in pairs.items():
        if was != now:
            raise UsageError(f"--resume: {path} was measured with {name} {format_value(was)}, not {format_value(now)}: name a new --out")


def format_value(value: object) -> str:
    """Returns a setting as an option accepts it."""
    return ",".join(map(str, value)) if isinstance(value, list) else repr(value) if value == "" else str(value)

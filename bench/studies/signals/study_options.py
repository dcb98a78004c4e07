"""The folder of a study, and how long it measures."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class StudyOptions:
    """The folder `out`, or a new one; with `resume` a study there is resumed. After `seconds` no new piece starts."""

    out: Path | None = None
    resume: bool = False
    seconds: float = math.inf

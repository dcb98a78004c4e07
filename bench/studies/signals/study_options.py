"""Where a study is written, and for how long it measures."""

import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Place:
    """The folder `out`, or a new one; with `resume` a study there is gone on with. After `seconds` no piece is begun."""

    out: Path | None = None
    resume: bool = False
    seconds: float = math.inf

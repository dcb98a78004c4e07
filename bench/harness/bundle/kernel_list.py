"""Which kernels a bundle has: a list that travels as lines of JSON, so that it can be compiled again elsewhere."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from bench.errors import UsageError
from bench.harness.suites import SUITES, Shape
from kernels.derive.plan import plan
from kernels.schedules.persistent.tiling import DIRECTIONS, H100, Direction, Tiles

Kind = Literal["resident", "stepwise", "scan"]


@dataclass(frozen=True)
class Work:
    """Kernels that are compiled together: those of one direction of `resident` with a cut, or all of `stepwise` or `scan` for a cell."""

    schedule: Kind
    cell: str
    B: int
    H: int
    dtype: str
    direction: Direction | None = None
    tiles: Tiles | None = None
    tf32: bool = False

    @property
    def alike(self) -> "Work":
        """The same without its batch, which no kernel is compiled for."""
        return replace(self, B=0)

    def __str__(self) -> str:
        direction = f" {self.direction}" if self.direction else ""
        return f"{self.schedule} {self.cell}{direction} B={self.B} H={self.H} {'tf32' if self.tf32 else self.dtype}"


def suites(names: Iterable[str], cuts: int) -> list[Work]:
    """What the suites of these names run on an H100, the most telling first, with so many cuts of each pass: those that the model ranks
    first."""
    found = [work for name in names for shape in SUITES[name] for work in of(shape, cuts)]
    return first(found, lambda work: work.alike)


def first(works: Iterable[Work], key: Callable[[Work], object]) -> list[Work]:
    """The first work of each key, in their order."""
    found: dict[object, Work] = {}
    for work in works:
        found.setdefault(key(work), work)
    return list(found.values())


def of(shape: Shape, cuts: int) -> Iterator[Work]:
    """What one shape of a suite runs."""
    import cells
    from bench.harness.tune import Name
    from kernels.schedules.persistent.tuning import order_tilings

    size = (shape.cell, shape.B, shape.H, shape.dtype)
    if not plan(cells.load(shape.cell)).stages:
        yield Work("scan", *size)
        return
    for direction in DIRECTIONS if "training" in shape.modes else DIRECTIONS[:1]:
        name = Name(shape.cell, direction, shape.B, shape.H, shape.dtype)
        for tiles in order_tilings(name.work, H100)[:cuts]:
            yield Work("resident", *size, direction, tiles)
    yield Work("stepwise", *size)


def read(path: Path) -> list[Work]:
    """A list as `lines` writes it, one piece of work a line; one without a schedule is of `resident`. Raises UsageError."""
    try:
        return parse(path.read_text())
    except OSError as error:
        raise UsageError(f"--list {path} can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"--list {path}: {error}") from None


def parse(text: str) -> list[Work]:
    """Raises ValueError with the line at fault."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(made(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {number} is no piece of work: {error}") from None
    return found


def made(
    cell: str, B: int, H: int, dtype: str, schedule: Kind = "resident", direction: Direction | None = None,
    tiles: dict[str, int] | None = None, tf32: bool = False,
) -> Work:  # fmt: skip
    """Raises ValueError for what can't be."""
    if schedule not in get_args(Kind):
        raise ValueError(f"there is no schedule {schedule!r}: there are {', '.join(get_args(Kind))}")
    if schedule == "resident" and (direction not in DIRECTIONS or tiles is None):
        raise ValueError("resident takes a direction, forward or backward, and tiles")
    return Work(schedule, cell, B, H, dtype, direction, None if tiles is None else Tiles(**tiles), tf32)  # type: ignore[arg-type]


def samples(works: Iterable[Work]) -> list[Work]:
    """The first of each kind, whose kernels are written in different files."""
    return first(works, lambda work: (work.schedule, work.direction))


def lines(works: Iterable[Work]) -> str:
    """A list as text."""
    return "".join(json.dumps(asdict(work)) + "\n" for work in works)

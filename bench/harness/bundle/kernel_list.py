"""Which kernels a bundle has: a list that travels as lines of JSON, so that it can be compiled again elsewhere."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, get_args

from bench.errors import UsageError
from bench.harness.suites import SUITES, Shape
from bench.records.backend_table import translate_name
from kernels.derive.plan import plan
from kernels.schedules.persistent.tiling import DIRECTIONS, H100, Direction, Tiles

Kind = Literal["persistent", "stepwise", "scan"]


@dataclass(frozen=True)
class KernelWork:
    """Kernels that are compiled together: those of one direction of `persistent` with one tile configuration, or all of `stepwise` or
    `scan` for a cell."""

    schedule: Kind
    cell: str
    B: int
    H: int
    dtype: str
    direction: Direction | None = None
    tiles: Tiles | None = None
    tf32: bool = False

    @property
    def alike(self) -> "KernelWork":
        """The same without its batch, which no kernel is compiled for."""
        return replace(self, B=0)

    def __str__(self) -> str:
        direction = f" {self.direction}" if self.direction else ""
        return f"{self.schedule} {self.cell}{direction} B={self.B} H={self.H} {'tf32' if self.tf32 else self.dtype}"


def list_suites(names: Iterable[str], tilings: int) -> list[KernelWork]:
    """List what the suites of these names run on an H100, most informative first, with so many tile configurations of each pass: those the
    model ranks first."""
    found = [work for name in names for shape in SUITES[name] for work in list_shape(shape, tilings)]
    return keep_first(found, lambda work: work.alike)


def keep_first(works: Iterable[KernelWork], key: Callable[[KernelWork], object]) -> list[KernelWork]:
    """The first work of each key, in their order."""
    found: dict[object, KernelWork] = {}
    for work in works:
        found.setdefault(key(work), work)
    return list(found.values())


def list_shape(shape: Shape, tilings: int) -> Iterator[KernelWork]:
    """List what one shape of a suite runs."""
    import cells
    from bench.harness.tune import PassKey
    from kernels.schedules.persistent.tuning import order_tilings

    size = (shape.cell, shape.B, shape.H, shape.dtype)
    if not plan(cells.load(shape.cell)).stages:
        yield KernelWork("scan", *size)
        return
    for direction in DIRECTIONS if "training" in shape.modes else DIRECTIONS[:1]:
        name = PassKey(shape.cell, direction, shape.B, shape.H, shape.dtype)
        for tiles in order_tilings(name.work, H100)[:tilings]:
            yield KernelWork("persistent", *size, direction, tiles)
    yield KernelWork("stepwise", *size)


def read_list(path: Path) -> list[KernelWork]:
    """A list as `lines` writes it, one piece of work a line; one without a schedule is of `persistent`. Raises UsageError."""
    try:
        return parse_line(path.read_text())
    except OSError as error:
        raise UsageError(f"--list {path} can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"--list {path}: {error}") from None


def parse_line(text: str) -> list[KernelWork]:
    """Raises ValueError with the line at fault."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if line.strip():
            try:
                found.append(make_work(**json.loads(line)))
            except (TypeError, ValueError) as error:
                raise ValueError(f"line {number} is no piece of work: {error}") from None
    return found


def make_work(
    cell: str, B: int, H: int, dtype: str, schedule: Kind = "persistent", direction: Direction | None = None,
    tiles: dict[str, int] | None = None, tf32: bool = False,
) -> KernelWork:  # fmt: skip
    """Return a piece of work; an old name of a schedule counts as the current one. Raises ValueError for an invalid one."""
    schedule = translate_name(schedule)  # type: ignore[assignment]
    if schedule not in get_args(Kind):
        raise ValueError(f"there is no schedule {schedule!r}: there are {', '.join(get_args(Kind))}")
    if schedule == "persistent" and (direction not in DIRECTIONS or tiles is None):
        raise ValueError("persistent takes a direction, forward or backward, and tiles")
    return KernelWork(schedule, cell, B, H, dtype, direction, None if tiles is None else Tiles(**tiles), tf32)  # type: ignore[arg-type]


def select_samples(works: Iterable[KernelWork]) -> list[KernelWork]:
    """The first of each kind, whose kernels are written in different files."""
    return keep_first(works, lambda work: (work.schedule, work.direction))


def write_lines(works: Iterable[KernelWork]) -> str:
    """A list as text."""
    return "".join(json.dumps(asdict(work)) + "\n" for work in works)

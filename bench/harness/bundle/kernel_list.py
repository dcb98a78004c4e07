"""Lists the kernels of a bundle. A list is stored as JSON lines, so that another machine can compile it again."""

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
    """Kernels that are compiled together: one direction of `persistent` with one tile configuration, or all of `stepwise` or `scan` for
    a cell.

    Attributes:
        schedule: "persistent", "stepwise" or "scan".
        cell: The cell's name.
        B: Sequences in a batch.
        H: Hidden width.
        dtype: The data type.
        direction: "forward" or "backward"; only for `persistent`.
        tiles: The tile configuration; only for `persistent`.
        tf32: Products are in tf32.
    """

    schedule: Kind
    cell: str
    B: int
    H: int
    dtype: str
    direction: Direction | None = None
    tiles: Tiles | None = None
    tf32: bool = False

    @property
    def kernel_key(self) -> "KernelWork":
        """Returns the work with B = 0: works that differ in their batch size only have the same kernels."""
        return replace(self, B=0)

    def __str__(self) -> str:
        direction = f" {self.direction}" if self.direction else ""
        return f"{self.schedule} {self.cell}{direction} B={self.B} H={self.H} {'tf32' if self.tf32 else self.dtype}"


def list_suites(names: Iterable[str], tilings: int) -> list[KernelWork]:
    """Returns the kernels that suites run on an H100, most informative first.

    Args:
        names: The names of the suites.
        tilings: The number of tile configurations of each pass, fastest expected first.
    """
    found = [work for name in names for shape in SUITES[name] for work in list_shape(shape, tilings)]
    return keep_first(found, lambda work: work.kernel_key)


def keep_first(works: Iterable[KernelWork], key: Callable[[KernelWork], object]) -> list[KernelWork]:
    """Returns the first work of each key, in the given order."""
    found: dict[object, KernelWork] = {}
    for work in works:
        found.setdefault(key(work), work)
    return list(found.values())


def list_shape(shape: Shape, tilings: int) -> Iterator[KernelWork]:
    """Yields the kernels that one shape of a suite runs."""
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
    """Reads a list of kernels.

    Args:
        path: A file in the form of `format_lines`; a line without a schedule is of `persistent`.

    Raises:
        UsageError: The file can't be read, or has an invalid line.
    """
    try:
        return parse_lines(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"--list {path} can't be read ({error.strerror})") from None
    except ValueError as error:
        raise UsageError(f"--list {path}: {error}") from None


def parse_lines(text: str) -> list[KernelWork]:
    """Returns the pieces of work in JSON lines.

    Args:
        text: The lines; empty ones are skipped.

    Raises:
        ValueError: A line is invalid; the message has its number.
    """
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
    """Returns a piece of work; a former name of a schedule gives the current one. Raises ValueError if it is invalid."""
    schedule = translate_name(schedule)  # type: ignore[assignment]
    if schedule not in get_args(Kind):
        raise ValueError(f"there is no schedule {schedule!r}: there are {', '.join(get_args(Kind))}")
    if schedule == "persistent" and (direction not in DIRECTIONS or tiles is None):
        raise ValueError("persistent takes a direction, forward or backward, and tiles")
    return KernelWork(schedule, cell, B, H, dtype, direction, None if tiles is None else Tiles(**tiles), tf32)  # type: ignore[arg-type]


def select_samples(works: Iterable[KernelWork]) -> list[KernelWork]:
    """Returns the first piece of work of each schedule and direction; their kernels are in different source files."""
    return keep_first(works, lambda work: (work.schedule, work.direction))


def format_lines(works: Iterable[KernelWork]) -> str:
    """Returns pieces of work as JSON lines."""
    return "".join(json.dumps(asdict(work)) + "\n" for work in works)

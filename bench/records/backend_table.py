"""The backends of a benchmark: a row of plain data for each, which everything else asks.

A new schedule of `kernels/schedules/` needs no row here: `find_backend` gives it one of its own. A row that is written out adds what a
default run needs to know: where it runs, and for which cells.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import product
from typing import Literal

Device = Literal["cpu", "cuda"]
Kind = Literal["reference", "schedule", "peer"]
Cells = Literal["all", "without products", "linear recurrences", "waves"]


@dataclass(frozen=True)
class Backend:
    """A way to run a cell.

    kind: a "schedule" of kernels/, the "reference" in eager torch, or a "peer" from another library.
    devices: where a run that names no backends measures it; `low_devices`, where it measures the schedule with memory="low", too.
    needs: what must be installed, "" for torch alone.
    cells: the cells that it can run, of those `cannot` says why not.
    baseline: the backend that its speed is compared with, "" for none.
    colour, mark: how a plot draws it; no two rows share both.
    slow: runs its steps one by one in Python, so the sizes of a suite leave it out.
    interpreted: a CPU only checks it, in Triton's interpreter, without a time.
    float32_state: carries the state in float32 where the operands have 16 bits.
    """

    name: str
    kind: Kind = "schedule"
    devices: tuple[Device, ...] = ()
    low_devices: tuple[Device, ...] = ()
    needs: str = ""
    cells: Cells = "all"
    cannot: str = ""
    baseline: str = "vendor"
    colour: str = ""
    mark: str = ""
    slow: bool = False
    interpreted: bool = False
    float32_state: bool = False


BOTH: tuple[Device, ...] = ("cpu", "cuda")
ROWS = (
    Backend(
        "vendor", "peer", BOTH, cannot="cells that torch.nn doesn't have", baseline="", colour="#000000", mark="o",
    ),
    Backend("eager", "reference", BOTH, colour="#0072B2", mark="s", slow=True),
    Backend("compiled", devices=("cpu",), needs="a C++ compiler", colour="#D55E00", mark="D"),
    Backend("stepwise", devices=BOTH, needs="triton", colour="#009E73", mark="^", interpreted=True, float32_state=True),
    Backend(
        "persistent", devices=BOTH, low_devices=("cuda",), needs="triton", colour="#E69F00", mark="v", interpreted=True, float32_state=True,
    ),
    Backend(
        "scan", devices=BOTH, needs="triton", cells="without products", cannot="cells with a product in the loop",
        colour="#56B4E9", mark="P", interpreted=True, float32_state=True,
    ),
    Backend(
        "stencil", devices=BOTH, needs="triton", cells="waves", cannot="cells whose units don't read their neighbours", baseline="conv2d",
        colour="#E69F00", mark="<", interpreted=True, float32_state=True,
    ),
    Backend(
        "torchrecurrent", "peer", BOTH, needs="torchrecurrent", cannot="cells that torchrecurrent doesn't have", colour="#CC79A7", mark="*",
        slow=True,
    ),
    Backend(
        "associative", "peer", BOTH, cells="linear recurrences", cannot="cells that aren't linear recurrences", colour="#882255", mark="h",
    ),
    Backend(
        "accelerated", "peer", ("cuda",), needs="accelerated-scan", cells="linear recurrences",
        cannot="cells that aren't linear recurrences", colour="#D55E00", mark="p",
    ),
    Backend(
        "fla_chunk", "peer", ("cuda",), needs="fla-core", cells="linear recurrences",
        cannot="linear recurrences with a factor of 0 or less", colour="#E69F00", mark="d", float32_state=True,
    ),
    Backend(
        "fla_recurrent", "peer", ("cuda",), needs="fla-core", cells="linear recurrences",
        cannot="linear recurrences with a factor of 0 or less", colour="#CC79A7", mark="H", float32_state=True,
    ),
    Backend("conv2d", "peer", BOTH, cells="waves", cannot="all cells but wave", colour="#CC79A7", mark=">"),
)  # fmt: skip
"""The backends in the order of a table's columns. Colours are those of Okabe and Ito (2008) and two of Tol's, which colour-blind
readers can tell apart; rows that share a colour run no common cell on one device."""

TABLE = {row.name: row for row in ROWS}
LOW = "-low"
"""The ending of a schedule that runs with memory="low"."""

NAMES = (
    *(row.name for row in ROWS if row.kind != "peer"), *(row.name + LOW for row in ROWS if row.kind == "schedule"),
    *(row.name for row in ROWS if row.kind == "peer"),
)  # fmt: skip
"""The names that --backends takes, without those of one's own."""

COLUMNS = tuple(name for row in ROWS for name in ((row.name, row.name + LOW) if row.kind == "schedule" else (row.name,)))
"""The order of a table's columns."""

COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#882255", "#999933")
MARKS = "XosD^vP*hpd<>H"
SPARE = tuple(look for look in product(reversed(COLOURS), MARKS) if look not in {(row.colour, row.mark) for row in ROWS})
"""Colours and marks for backends that have no row here."""

OLD_NAMES = {"resident": "persistent"}
"""Old names of backends: records of earlier versions have them, and --backends takes them with a warning."""


def base_name(backend: str) -> str:
    """The name of a backend without the ending of low memory."""
    return backend.removesuffix(LOW)


def current_name(backend: str) -> str:
    """The name that a backend has today, for one that may be an old name: "resident-low" is "persistent-low"."""
    name = base_name(backend)
    return OLD_NAMES.get(name, name) + backend[len(name) :]


def find_backend(backend: str) -> Backend:
    """The row of a backend, with or without low memory; one with no special case for a name that isn't in the table."""
    return TABLE.get(base_name(backend)) or Backend(base_name(backend))


def default_names(device: Device) -> tuple[str, ...]:
    """The backends of a run that names none, each for the cells that it can run."""
    rows = sorted((row for row in ROWS if device in row.devices), key=lambda row: row.kind == "peer")
    return tuple(name for row in rows for name in (row.name, *([row.name + LOW] if device in row.low_devices else [])))


def choose_look(backend: str, others: Iterable[str] = ()) -> tuple[str, str]:
    """The colour and the mark of a backend in a plot with `others`. A backend that has no row gets a spare pair, which none of them has."""
    name = base_name(backend)
    if name in TABLE:
        return TABLE[name].colour, TABLE[name].mark
    new = sorted({base_name(other) for other in (backend, *others)} - TABLE.keys())
    return SPARE[new.index(name) % len(SPARE)]

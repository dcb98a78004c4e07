"""The table of backends: one row of plain data per backend. All other modules read a backend's properties here.

A new schedule in `kernels/schedules/` needs no row: `find_backend` returns a default row for it. A written row adds the devices and the
cells of a default run.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Literal, get_args

from bench.records.case_record import Mode

Device = Literal["cpu", "cuda"]
Kind = Literal["reference", "schedule", "peer"]
Cells = Literal["all", "without products", "linear recurrences", "waves"]


@dataclass(frozen=True)
class Backend:
    """A way to run a cell.

    Attributes:
        name: Its name in records and options.
        kind: "schedule" of kernels/, "reference" in eager torch, or "peer" from another library.
        devices: The devices on which a run without --backends measures it.
        low_devices: The devices on which such a run also measures the schedule with memory="low".
        needs: The package that must be installed; "" for torch alone.
        cells: The cells that it supports.
        cannot: The cells that it does not support, in words.
        baseline: The backend that its speed is compared with; "" for none.
        colour: Its colour in plots. No two rows share colour and mark.
        mark: Its mark in plots.
        slow: Whether it runs its steps one by one in Python; suites leave out its sizes.
        interpreted: Whether a CPU only checks it, in Triton's interpreter and without a time.
        float32_state: Whether it keeps the state in float32 for 16-bit operands.
        apart: Whether it runs in a process of its own. Without --backends the suites cpu and latency measure it, where it is installed.
        modes: The passes that it has.
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
    apart: bool = False
    modes: tuple[Mode, ...] = get_args(Mode)

    @property
    def package(self) -> str:
        """Returns the package of a peer that runs in a process of its own; "" if it needs torch alone."""
        return self.needs if self.apart and " " not in self.needs else ""


BOTH: tuple[Device, ...] = ("cpu", "cuda")
schedule = partial(Backend, devices=BOTH, needs="triton", interpreted=True, float32_state=True)
peer = partial(Backend, kind="peer", devices=BOTH)
scan_peer = partial(peer, cells="linear recurrences", cannot="cells that aren't linear recurrences")
fla_peer = partial(
    scan_peer, devices=("cuda",), needs="fla-core", cannot="linear recurrences with a factor of 0 or less", float32_state=True
)
cpu_peer = partial(peer, devices=("cpu",), apart=True, modes=("training", "inference"))
NO_STENCIL = "cells whose units read their neighbours"
ROWS = (
    peer("vendor", cannot="cells that torch.nn doesn't have", baseline="", colour="#000000", mark="o"),
    Backend("eager", "reference", BOTH, colour="#0072B2", mark="s", slow=True),
    Backend("compiled", devices=("cpu",), needs="a C++ compiler", colour="#D55E00", mark="D", float32_state=True),
    schedule("stepwise", colour="#009E73", mark="^"),
    schedule("persistent", low_devices=("cuda",), colour="#E69F00", mark="v"),
    schedule("scan", cells="without products", cannot="cells with a product in the loop", colour="#56B4E9", mark="P"),
    schedule(
        "stencil", cells="waves", cannot="cells whose units don't read their neighbours", baseline="conv2d", colour="#E69F00", mark="<"
    ),
    Backend("newton", cannot=NO_STENCIL, colour="#882255", mark="D", float32_state=True),
    peer("torchrecurrent", needs="torchrecurrent", cannot="cells that torchrecurrent doesn't have", colour="#CC79A7", mark="*", slow=True),
    peer("pararnn", devices=(), needs="pararnn-torch", cannot="cells that pararnn-torch doesn't have", colour="#000000", mark="P"),
    scan_peer("associative", colour="#882255", mark="h"),
    scan_peer("accelerated", devices=("cuda",), needs="accelerated-scan", colour="#D55E00", mark="p"),
    fla_peer("fla_chunk", colour="#E69F00", mark="d"),
    fla_peer("fla_recurrent", colour="#CC79A7", mark="H"),
    Backend(
        "int8", "reference", needs="a C++ compiler", cannot="dtypes other than float32", modes=("inference",), colour="#56B4E9", mark="<"
    ),
    cpu_peer("onnxruntime", needs="onnxruntime", modes=("inference",), cannot=NO_STENCIL, colour="#999933", mark="X"),
    cpu_peer("openvino", needs="openvino", modes=("inference",), cannot=NO_STENCIL, colour="#009E73", mark="o"),
    cpu_peer("jax", needs="jax", colour="#0072B2", mark="d"),
    cpu_peer("torch_compile", devices=(), needs="a C++ compiler", cannot="T above 32", colour="#E69F00", mark="s"),
    peer("conv2d", cells="waves", cannot="all cells but wave", colour="#CC79A7", mark=">"),
)
"""The backends, in the order of a table's columns.

The colours are those of Okabe and Ito (2008) and two of Tol's palette, which colour-blind readers can distinguish. Two rows share a colour
only if no cell runs on both of them on one device."""

TABLE = {row.name: row for row in ROWS}
LOW = "-low"
"""The suffix of a schedule that runs with memory="low"."""

LOW_NAMES = [row.name + LOW for row in ROWS if row.kind == "schedule"]
NAMES = (*(row.name for row in ROWS if row.kind != "peer"), *LOW_NAMES, *(row.name for row in ROWS if row.kind == "peer"))
"""The names that --backends accepts, besides a user's own."""

COLUMNS = tuple(name for row in ROWS for name in ((row.name, row.name + LOW) if row.kind == "schedule" else (row.name,)))
"""The order of a table's columns."""


def strip_low(backend: str) -> str:
    """Returns the name of a backend without the suffix for low memory."""
    return backend.removesuffix(LOW)


COLOURS = ("#000000", "#0072B2", "#D55E00", "#009E73", "#E69F00", "#56B4E9", "#CC79A7", "#882255", "#999933")
MARKS = "XosD^vP*hpd<>H"
LOOKS = {row.name: (row.colour, row.mark) for row in ROWS}
"""Colour and mark of each backend. A schedule with low memory keeps its colour and has a mark of its own."""
for name in LOW_NAMES:
    LOOKS[name] = next(look for mark in MARKS if (look := (TABLE[strip_low(name)].colour, mark)) not in LOOKS.values())
SPARE = tuple(look for look in product(reversed(COLOURS), MARKS) if look not in LOOKS.values())
"""Colours and marks for backends without a row."""

OLD_NAMES = {"resident": "persistent"}
"""Former names of backends. Records of earlier versions have them, and --backends accepts them with a warning."""


def translate_name(backend: str) -> str:
    """Returns the current name of a backend: "persistent-low" for "resident-low"."""
    name = strip_low(backend)
    return OLD_NAMES.get(name, name) + backend[len(name) :]


def find_backend(backend: str) -> Backend:
    """Returns the row of a backend, with or without low memory; a default row for a name that is not in the table."""
    return TABLE.get(strip_low(backend)) or Backend(strip_low(backend))


def list_defaults(device: Device) -> tuple[str, ...]:
    """Returns the backends that a run measures by default on a device."""
    rows = sorted((row for row in ROWS if device in row.devices), key=lambda row: row.kind == "peer")
    return tuple(name for row in rows for name in (row.name, *([row.name + LOW] if device in row.low_devices else [])))


def order_backend(backend: str) -> tuple[int, str]:
    """Returns the key that sorts backends in the order of a table's columns; the names that it lacks come last."""
    return COLUMNS.index(backend) if backend in COLUMNS else len(COLUMNS), backend


def choose_look(backend: str, others: Iterable[str] = ()) -> tuple[str, str]:
    """Returns the colour and the mark of a backend in a plot with `others`. A backend without a row gets a spare pair that no other has."""
    if backend in LOOKS:
        return LOOKS[backend]
    new = sorted({backend, *others} - LOOKS.keys())
    return SPARE[new.index(backend) % len(SPARE)]

"""What the machine code of a resident kernel says about a time step: read from the SASS of its loop over time, without a GPU.

The counts are of instructions, each of which a warp issues once in a step, times published unit rates: bounds, not measurements. They
tell what no model of tiles knows: whether the compiler had all warps compute the same, or made loads wait for each other.

What was read of the kernels that the suites run is kept in `kernels/verdicts/triton-<version>.json`, which `make verdicts` writes: so
kernels that are known to be bad need not be compiled to find out. It holds for one version of Triton and for the kernels' text as it was.
"""

import ast
import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kernels.derive.adjoint import adjoint
from kernels.derive.graph import walk
from kernels.derive.plan import Plan
from kernels.schedules.persistent.tiling import Pass, Tiles, product_of

if TYPE_CHECKING:
    from kernels.schedules.compile_for import Resources

FOLDER = Path(__file__).parents[2] / "verdicts"
SOURCES = ("persistent/time_loop", "persistent/matrices", "persistent/grid_barrier", "triton_functions")
"""The schedules' modules whose text the kernels are made from."""

REPEATS = 2.0
"""How much more of the pointwise step than its share a thread may compute."""

SPECIAL = {"sigmoid": 2, "tanh": 2, "softplus": 2, "exp": 1, "log": 1, "sqrt": 1}
"""Instructions of the special function unit (MUFU) in a function; a division is one too."""

WIDTH = {"128": 4, "64": 2, "4": 4, "2": 2}
"""Cycles of shared memory, 128 bytes each, of a warp's instruction, by the suffix that says how wide it is; one without."""


@dataclass(frozen=True)
class Verdict:
    """Of a kernel's time step. `pointwise`: special functions that a thread computes over its share of them, 0 where the step has none.
    `product`: multiplications of all warps over those needed. `chain`: loads from global memory in front of the poll that wait for each
    other at block barriers, one after another. `barriers` of the block; cycles of `shared` memory and of the `tensor` cores; bytes
    that a thread spills."""

    pointwise: float
    product: float
    chain: int
    barriers: int
    shared: int
    tensor: int
    spills: int

    @property
    def faults(self) -> tuple[str, ...]:
        """What a kernel that is to be fast must not have."""
        found = {"spills": self.spills > 0, "repeats the pointwise step": self.pointwise > REPEATS, "loads in a chain": self.chain > 1}
        return tuple(fault for fault, there in found.items() if there)


def loop(sass: str) -> list[str]:
    """The instructions of the longest loop, in their order, without predicates and operands."""
    lines = re.findall(r"/\*([0-9a-f]{4,6})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;\n]*)", sass)
    jumps = [(int(to[1], 16), int(at, 16)) for at, name, rest in lines if name == "BRA" and (to := re.search(r"0x([0-9a-f]+)\s*$", rest))]
    back = [(to, at) for to, at in jumps if to < at]
    if not back:
        raise ValueError("machine code without a loop")
    first, last = max(back, key=lambda jump: jump[1] - jump[0])
    return [name for at, name, _ in lines if first <= int(at, 16) <= last]


def special(plan: Plan, direction: str) -> int:
    """Special functions for an element of a step."""
    functions = [plan.step, *(stage.argument for stage in plan.stages if stage.argument)]
    nodes = [walk((f if direction == "forward" else adjoint(f)).outputs) for f in functions]
    return sum(SPECIAL.get(n.label, 0) if n.op == "call" else n.op == "div" for found in nodes for n in found)


def chain(names: Iterable[str]) -> int:
    """How many loads in front of a poll wait for each other: groups of them with block barriers between, from the last arrival on. The
    names are those of a loop, whose end is in front of its start. A loop that polls for nothing has none."""
    order = [mark(name) for name in names]
    last = max((k for k, name in enumerate(order) if name == "arrival"), default=-1)
    longest = groups = 0
    fresh = True
    for name in order[last + 1 :] + order[: last + 1]:
        if name == "arrival":
            groups, fresh = 0, True
        elif name == "poll":
            longest, groups, fresh = max(longest, groups), 0, True
        elif name == "barrier":
            fresh = True
        elif name == "load" and fresh:
            groups, fresh = groups + 1, False
    return longest


def mark(name: str) -> str:
    """What an instruction is to `chain`."""
    kind = name.split(".")[0]
    if kind in ("LDG", "LD"):
        return "poll" if "STRONG" in name else "load"
    return "arrival" if kind in ("RED", "REDG", "ATOM", "ATOMG") else "barrier" if kind == "BAR" else ""


def multiplied(name: str) -> tuple[int, int]:
    """Multiplications of an instruction of the tensor cores, and cycles that it takes all four of them: a warp's alone takes one."""
    if shape := re.match(r"HGMMA\.64x(\d+)x(\d+)", name):
        columns, inner = map(int, shape.groups())
        return 64 * columns * inner, max(16, columns // 2)
    if shape := re.match(r"HMMA\.(16)(8)(\d+)", name):
        return 128 * int(shape[3]), 2
    return 0, 0


def passed(name: str) -> int:
    """Cycles of shared memory that a warp's instruction takes, or a warpgroup's, whose operands are there."""
    kind, *suffixes = name.split(".")
    if kind in ("LDS", "STS", "LDSM", "STSM"):
        return next((WIDTH[suffix] for suffix in suffixes if suffix in WIDTH), 1)
    shape = re.match(r"HGMMA\.64x(\d+)x(\d+)", name)
    return (64 + int(shape[1])) * int(shape[2]) * 2 // 128 if shape else 0


def judged(work: Pass, tiles: Tiles, used: "Resources") -> Verdict:
    """The verdict on the compiled kernel of a pass."""
    names = Counter(found := loop(used.sass))
    of, lanes = product_of(work, tiles), 32 * tiles.warps
    each = {name: count * (tiles.warps // 4 if name.startswith("HGMMA") else tiles.warps) for name, count in names.items()}
    needed = of.count * max(16, of.rows) * max(8, of.columns) * of.inner
    share = special(work.plan, work.direction) * -(-tiles.BB * tiles.BN // lanes)
    mufu = sum(count for name, count in names.items() if name.startswith("MUFU"))
    return Verdict(
        round(mufu / share, 2) if share else 0.0,
        round(sum(multiplied(name)[0] * count for name, count in each.items()) / needed, 2),
        chain(found),
        sum(count for name, count in names.items() if name.startswith("BAR")),
        sum(passed(name) * count for name, count in each.items()),
        sum(multiplied(name)[1] * count for name, count in each.items()),
        used.stack + used.local,
    )


@cache
def source() -> str:
    """A hash of the text that the kernels are made from, without what its modules say about themselves."""
    text = ""
    for name in SOURCES:
        module = (Path(__file__).parents[1] / f"{name}.py").read_text(encoding="utf-8")
        text += module.replace(ast.get_docstring(ast.parse(module), clean=False) or "", "", 1)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


Key = tuple[object, ...]


def key(step: str, work: Pass, tiles: Tiles) -> Key:
    """What tells kernels apart; the batch doesn't. `step` is the fingerprint of the plan."""
    return step, work.direction, work.H, str(work.dtype).removeprefix("torch."), work.tf32, *asdict(tiles).values()


def write(found: dict[Key, Verdict], triton: str) -> Path:
    """Keep verdicts, in place of those there were."""
    FOLDER.mkdir(exist_ok=True)
    lines = [json.dumps([*k, *asdict(v).values()], separators=(",", ":")) for k, v in sorted(found.items(), key=lambda item: str(item[0]))]
    path = FOLDER / f"triton-{triton}.json"
    path.write_text(f'{{"source": "{source()}", "kernels": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    known.cache_clear()
    return path


def kept(path: Path) -> tuple[str, dict[Key, Verdict]]:
    """The hash of the text that verdicts were made for, and the verdicts."""
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    count = len(asdict(Verdict(0, 0, 0, 0, 0, 0, 0)))
    return held["source"], {tuple(row[:-count]): Verdict(*row[-count:]) for row in held["kernels"]}


@cache
def known() -> dict[Key, Verdict]:
    """The verdicts that hold for the Triton that is installed and the kernels as they are; none where nobody made any."""
    try:
        made, found = kept(FOLDER / f"triton-{metadata.version('triton')}.json")
    except (OSError, metadata.PackageNotFoundError):
        return {}
    return found if made == source() else {}

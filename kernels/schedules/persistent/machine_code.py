"""Verdicts on the machine code of persistent kernels: counts from the SASS of the time loop, without a GPU.

A warp issues each instruction of the loop once in a step. The counts are multiplied by published unit rates: they are bounds, not
measurements. They show what the cost model of tiles cannot know: whether the compiler made all warps repeat the same work, or made loads
wait for each other.

The verdicts on the kernels of the suites are stored in `kernels/verdicts/triton-<version>.json`, which `make verdicts` writes, so that a
faulty kernel is known without compiling it. They hold for one version of Triton and for one state of the kernels' source.
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
from kernels.schedules.persistent.tiling import Pass, Tiles, product_shape

if TYPE_CHECKING:
    from kernels.schedules.compile_for import Resources

FOLDER = Path(__file__).parents[2] / "verdicts"
SOURCES = ("persistent/time_loop", "persistent/matrices", "persistent/grid_barrier", "triton_functions")
"""The modules whose source the kernels are compiled from."""

MAX_REPEATS = 2.0
"""Maximum ratio of the special functions that a thread computes to its share of them."""

MUFU_COUNT = {"sigmoid": 2, "tanh": 2, "softplus": 2, "exp": 1, "log": 1, "sqrt": 1}
"""Instructions of the special function unit (MUFU) in a function; a division has one too."""

ACCESS_CYCLES = {"128": 4, "64": 2, "4": 4, "2": 2}
"""Cycles of shared memory (128 bytes each) of a warp's load or store, by the suffix of its width; 1 without a suffix."""


@dataclass(frozen=True)
class Verdict:
    """Counts of a kernel's time step.

    Attributes:
        pointwise: special functions that a thread computes over its share of them, 0 if the step has none.
        product: multiplications of all warps over those needed.
        chain: loads from global memory before the poll that wait for each other at block barriers.
        barriers: block barriers.
        shared: cycles of shared memory.
        tensor: cycles of the tensor cores.
        spills: bytes that a thread spills.
    """

    pointwise: float
    product: float
    chain: int
    barriers: int
    shared: int
    tensor: int
    spills: int

    @property
    def faults(self) -> tuple[str, ...]:
        """Descriptions of what makes the kernel slow; empty for a good one."""
        found = {"spills": self.spills > 0, "repeats the pointwise step": self.pointwise > MAX_REPEATS, "loads in a chain": self.chain > 1}
        return tuple(fault for fault, present in found.items() if present)


def longest_loop(sass: str) -> list[str]:
    """Returns the instructions of the longest loop in order, without predicates and operands.

    Raises:
        ValueError: the code has no loop.
    """
    lines = re.findall(r"/\*([0-9a-f]{4,6})\*/\s+(?:@!?U?P\w+\s+)?([A-Z][\w.]*)([^;\n]*)", sass)
    jumps = [(int(to[1], 16), int(at, 16)) for at, name, rest in lines if name == "BRA" and (to := re.search(r"0x([0-9a-f]+)\s*$", rest))]
    back = [(to, at) for to, at in jumps if to < at]
    if not back:
        raise ValueError("machine code without a loop")
    first, last = max(back, key=lambda jump: jump[1] - jump[0])
    return [name for at, name, _ in lines if first <= int(at, 16) <= last]


def count_special_functions(plan: Plan, direction: str) -> int:
    """Counts the special functions of an element in a step."""
    functions = [plan.step, *(stage.argument for stage in plan.stages if stage.argument)]
    nodes = [walk((f if direction == "forward" else adjoint(f)).outputs) for f in functions]
    return sum(MUFU_COUNT.get(n.label, 0) if n.op == "call" else n.op == "div" for found in nodes for n in found)


def longest_load_chain(names: Iterable[str]) -> int:
    """Counts the loads before a poll that wait for each other.

    These are groups of loads with block barriers between them, from the last arrival at the grid barrier on. `names` are the
    instructions of a loop, so the end is followed by the start. A loop without a poll has none.
    """
    order = [classify_instruction(name) for name in names]
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


def classify_instruction(name: str) -> str:
    """Returns the role of an instruction in `longest_load_chain`: "poll", "load", "arrival", "barrier" or ""."""
    kind = name.split(".")[0]
    if kind in ("LDG", "LD"):
        return "poll" if "STRONG" in name else "load"
    return "arrival" if kind in ("RED", "REDG", "ATOM", "ATOMG") else "barrier" if kind == "BAR" else ""


def tensor_core_work(name: str) -> tuple[int, int]:
    """Returns the multiplications of a tensor core instruction, and the cycles it takes with all four tensor cores of a multiprocessor."""
    if shape := re.match(r"HGMMA\.64x(\d+)x(\d+)", name):
        columns, inner = map(int, shape.groups())
        return 64 * columns * inner, max(16, columns // 2)
    if shape := re.match(r"HMMA\.(16)(8)(\d+)", name):
        return 128 * int(shape[3]), 2
    return 0, 0


def shared_memory_cycles(name: str) -> int:
    """Returns the cycles of shared memory that an instruction of a warp or warpgroup takes."""
    kind, *suffixes = name.split(".")
    if kind in ("LDS", "STS", "LDSM", "STSM"):
        return next((ACCESS_CYCLES[suffix] for suffix in suffixes if suffix in ACCESS_CYCLES), 1)
    shape = re.match(r"HGMMA\.64x(\d+)x(\d+)", name)
    return (64 + int(shape[1])) * int(shape[2]) * 2 // 128 if shape else 0


def judge(work: Pass, tiles: Tiles, used: "Resources") -> Verdict:
    """Returns the verdict on the compiled kernel of a pass."""
    names = Counter(found := longest_loop(used.sass))
    product, lanes = product_shape(work, tiles), 32 * tiles.warps
    each = {name: count * (tiles.warps // 4 if name.startswith("HGMMA") else tiles.warps) for name, count in names.items()}
    needed = product.count * max(16, product.rows) * max(8, product.columns) * product.inner
    share = count_special_functions(work.plan, work.direction) * -(-tiles.BB * tiles.BN // lanes)
    mufu = sum(count for name, count in names.items() if name.startswith("MUFU"))
    return Verdict(
        round(mufu / share, 2) if share else 0.0,
        round(sum(tensor_core_work(name)[0] * count for name, count in each.items()) / needed, 2),
        longest_load_chain(found),
        sum(count for name, count in names.items() if name.startswith("BAR")),
        sum(shared_memory_cycles(name) * count for name, count in each.items()),
        sum(tensor_core_work(name)[1] * count for name, count in each.items()),
        used.stack + used.local,
    )


@cache
def hash_sources() -> str:
    """Returns a hash of the source that the kernels are compiled from, module docstrings excluded."""
    text = ""
    for name in SOURCES:
        module = (Path(__file__).parents[1] / f"{name}.py").read_text(encoding="utf-8")
        text += module.replace(ast.get_docstring(ast.parse(module), clean=False) or "", "", 1)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


Key = tuple[object, ...]


def kernel_key(step: str, work: Pass, tiles: Tiles) -> Key:
    """Returns the key of a compiled kernel, which doesn't depend on the batch. `step` is the hash of the plan's functions."""
    return step, work.direction, work.H, str(work.dtype).removeprefix("torch."), work.tf32, *asdict(tiles).values()


def write_verdicts(found: dict[Key, Verdict], triton: str) -> Path:
    """Writes the verdicts of a version of Triton in place of the old ones."""
    FOLDER.mkdir(exist_ok=True)
    lines = [json.dumps([*k, *asdict(v).values()], separators=(",", ":")) for k, v in sorted(found.items(), key=lambda item: str(item[0]))]
    path = FOLDER / f"triton-{triton}.json"
    path.write_text(f'{{"source": "{hash_sources()}", "kernels": [\n' + ",\n".join(lines) + "\n]}\n", encoding="utf-8")
    load_verdicts.cache_clear()
    return path


def read_verdicts(path: Path) -> tuple[str, dict[Key, Verdict]]:
    """Reads the hash of the source that verdicts were made for, and the verdicts."""
    held: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    count = len(asdict(Verdict(0, 0, 0, 0, 0, 0, 0)))
    return held["source"], {tuple(row[:-count]): Verdict(*row[-count:]) for row in held["kernels"]}


@cache
def load_verdicts() -> dict[Key, Verdict]:
    """Returns the verdicts for the installed Triton and the current source; empty if there are none."""
    try:
        made, found = read_verdicts(FOLDER / f"triton-{metadata.version('triton')}.json")
    except (OSError, metadata.PackageNotFoundError):
        return {}
    return found if made == hash_sources() else {}
